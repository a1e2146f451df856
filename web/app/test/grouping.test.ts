import { describe, expect, it } from 'vitest';
import { follows, startsDay } from '../src/lib/grouping';

const noon = new Date(2026, 4, 3, 12).getTime();
const at = (sender_id: number, minutes: number, alone = false) => ({
  sender_id,
  created_at_ms: noon + minutes * 60_000,
  alone,
});

describe('messages of one thought', () => {
  it('are of one sender and close in time', () => {
    expect(follows(at(1, 0), at(1, 4))).toBe(true);
    expect(follows(at(1, 0), at(1, 5))).toBe(false);
    expect(follows(at(1, 0), at(2, 1))).toBe(false);
    expect(follows(undefined, at(1, 0))).toBe(false);
  });

  it('do not go over midnight', () => {
    const late = { sender_id: 1, created_at_ms: new Date(2026, 4, 3, 23, 59).getTime() };
    const early = { sender_id: 1, created_at_ms: new Date(2026, 4, 4, 0, 1).getTime() };
    expect(follows(late, early)).toBe(false);
    expect(startsDay(late, early)).toBe(true);
    expect(startsDay(at(1, 0), at(2, 60))).toBe(false);
  });

  it('are not joined with what stands for itself', () => {
    expect(follows(at(1, 0, true), at(1, 1))).toBe(false);
    expect(follows(at(1, 0), at(1, 1, true))).toBe(false);
  });
});
