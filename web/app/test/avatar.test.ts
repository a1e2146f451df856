import { describe, expect, it } from 'vitest';
import { avatarColour, initials, safeImage } from '../src/lib/avatar';

describe('initials', () => {
  it.each([
    ['Lena Kraus', 'LK'],
    ['tom', 'T'],
    ['  anna maria von stein ', 'AS'],
    ['王小明', '明'],
    ['李雷', '雷'],
    ['周末徒步小组', '周'],
    ['さくら', 'ら'],
    ['𝔘nicode', '𝔘'],
    ['!!!', ''],
    ['', ''],
  ])('of %j are %j', (name, wanted) => expect(initials(name)).toBe(wanted));
});

describe('the colour of an id', () => {
  it('is always the same, and neighbours differ often', () => {
    expect(avatarColour(42)).toBe(avatarColour(42));
    const used = new Set(Array.from({ length: 12 }, (_, at) => avatarColour(100 + at)));
    expect(used.size).toBeGreaterThan(5);
  });

  it('carries white text with a contrast of 4.5 or more', () => {
    const light = (hex: string) => {
      const part = (at: number) => {
        const c = parseInt(hex.slice(at, at + 2), 16) / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      };
      return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
    };
    for (let id = 0; id < 500; id++) expect(1.05 / (light(avatarColour(id)) + 0.05)).toBeGreaterThan(4.5);
  });
});

describe('a picture', () => {
  it('is shown only if this host or the page serves it', () => {
    expect(safeImage('/api/files/blob/1?sig=a')).not.toBe('');
    expect(safeImage('blob:http://x/1')).not.toBe('');
    for (const bad of [
      'https://else.example/a.png',
      '//else.example/a',
      '/\\else.example',
      'javascript:1',
      'data:x',
      '',
    ])
      expect(safeImage(bad), bad).toBe('');
  });
});
