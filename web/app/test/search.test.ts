import { describe, expect, it } from 'vitest';
import { excerpt, matches } from '../src/lib/search';

describe('search', () => {
  it('finds without regard to case and accents', () => {
    expect(matches('Zoë Müller', 'zoe mu')).toBe(true);
    expect(matches('周末徒步', '徒步')).toBe(true);
    expect(matches('Tom', 'tim')).toBe(false);
  });

  it('shows the place, and marks each one', () => {
    const long = 'x'.repeat(80);
    expect(excerpt(`${long} Tea and more tea`, 'tea')).toEqual([
      { text: '…', hit: false },
      { text: `${'x'.repeat(23)} `, hit: false },
      { text: 'Tea', hit: true },
      { text: ' and more ', hit: false },
      { text: 'tea', hit: true },
    ]);
  });

  it('shows the beginning where there is nothing to mark', () => {
    expect(excerpt('one\ntwo', 'three')).toEqual([{ text: 'one two', hit: false }]);
    expect(excerpt('one', ' ')).toEqual([{ text: 'one', hit: false }]);
  });
});
