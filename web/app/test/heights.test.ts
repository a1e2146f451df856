import { describe, expect, it } from 'vitest';
import { Heights } from '../src/lib/heights';

/** The same by adding up. */
function plain(heights: number[], y: number): number {
  let row = 0;
  for (let top = 0; row < heights.length - 1 && top + heights[row]! <= y; row++) top += heights[row]!;
  return row;
}

describe('heights of rows', () => {
  it('count an unmeasured row with the estimate', () => {
    const h = new Heights(50);
    h.resize(10);
    expect([h.total, h.offset(3), h.find(149), h.find(150)]).toEqual([500, 150, 2, 3]);
  });

  it('give the first or last row for a place outside', () => {
    const h = new Heights(50);
    h.resize(3);
    expect([h.find(-10), h.find(1e9)]).toEqual([0, 2]);
    h.resize(0);
    expect([h.total, h.find(0)]).toEqual([0, 0]);
  });

  it('agree with adding up, whatever is measured, added and forgotten', () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    const h = new Heights(64);
    let model: number[] = [];
    for (let step = 0; step < 3000; step++) {
      const what = random(10);
      if (what === 0) {
        const count = random(1500);
        model = model.slice(0, count);
        while (model.length < count) model.push(64);
        h.resize(count);
      } else if (model.length) {
        const row = random(model.length);
        const height = 20 + random(400);
        h.set(row, height);
        model[row] = height;
      }
      if (!model.length) continue;
      const y = random(64 * 1600);
      expect(h.find(y)).toBe(plain(model, y));
      const row = random(model.length + 1);
      expect(h.offset(row)).toBe(model.slice(0, row).reduce((a, b) => a + b, 0));
      expect(h.total).toBe(model.reduce((a, b) => a + b, 0));
    }
  });

  it('keep the place of a row when others above it are measured', () => {
    const h = new Heights(64);
    h.resize(100_000);
    const before = h.offset(90_000);
    let moved = 0;
    for (let row = 80_000; row < 80_040; row++) moved += h.set(row, 31);
    expect(h.offset(90_000)).toBe(before + moved);
    expect(h.find(h.offset(90_000))).toBe(90_000);
  });
});
