import { describe, expect, it } from 'vitest';
import { Anchor } from '../src/lib/anchor';
import { Heights } from '../src/lib/heights';

const view = 500;
function list(count: number) {
  const heights = new Heights(50);
  heights.resize(count);
  return { heights, anchor: new Anchor(heights) };
}
/** Where a row stands on the screen. */
const onScreen = ({ heights, anchor }: ReturnType<typeof list>, row: number) =>
  heights.offset(row) - anchor.top(view);

describe('the anchor of a list', () => {
  it('begins at the end and stays there while rows come', () => {
    const it = list(100);
    expect(it.anchor.top(view)).toBe(4500);
    it.heights.resize(103);
    it.heights.set(102, 200);
    expect(it.anchor.top(view)).toBe(103 * 50 + 150 - view);
  });

  it('leaves the end when the reader scrolls up, and takes it again within a few pixels', () => {
    const it = list(100);
    it.anchor.scrolled(4000, view);
    it.heights.resize(120);
    expect(it.anchor.top(view)).toBe(4000);
    it.anchor.scrolled(120 * 50 - view - 20, view);
    expect(it.anchor.atEnd).toBe(true);
  });

  it('keeps what the reader sees in its place over 100,000 rows, whatever is measured above', () => {
    const it = list(100_000);
    it.anchor.scrolled(50 * 60_000 + 13, view);
    const seen = 60_003;
    const before = onScreen(it, seen);
    for (let row = 59_000; row < 60_000; row++) it.heights.set(row, 20 + (row % 300));
    it.heights.set(0, 900);
    expect(onScreen(it, seen)).toBe(before);
  });

  it('keeps the first whole row when the one that is cut by the edge grows', () => {
    const it = list(100);
    it.anchor.scrolled(1010, view);
    const before = onScreen(it, 21);
    it.heights.set(20, 300);
    expect(onScreen(it, 21)).toBe(before);
  });

  it('keeps a row that is higher than the view', () => {
    const it = list(100);
    it.heights.set(20, 3000);
    it.anchor.scrolled(2000, view);
    it.heights.set(5, 10);
    expect(it.anchor.top(view)).toBe(1960);
  });

  it('centers a row, and goes no further than the list does', () => {
    const it = list(100);
    it.anchor.center(50, view);
    expect(onScreen(it, 50)).toBe(225);
    it.anchor.center(0, view);
    expect(it.anchor.top(view)).toBe(0);
    it.anchor.center(99, view);
    expect(it.anchor.top(view)).toBe(4500);
  });

  it('draws the rows of the view and some beyond', () => {
    const it = list(100);
    it.anchor.scrolled(2000, view);
    expect(it.anchor.range(view, 100)).toEqual({ first: 38, last: 52 });
  });

  it('is at rest with nothing', () => {
    const it = list(0);
    expect([it.anchor.top(view), it.anchor.range(view, 100)]).toEqual([0, { first: 0, last: 0 }]);
  });
});
