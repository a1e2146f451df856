import type { Heights } from './heights';

// Where a reader is in a very long list: at its end, or at a row that stays where it is on the screen, whatever is
// measured, loaded or resized above it. No DOM: the list component asks where to scroll and says where it was scrolled to.
const endSlack = 32;

export class Anchor {
  atEnd = true;
  private row = 0;
  /** Of the top of the view, seen from the top of the row; below 0 when the row begins lower. */
  private into = 0;

  constructor(readonly heights: Heights) {}

  /** The reader has scrolled. The first row that is whole in the view is what stays. */
  scrolled(top: number, view: number): void {
    const h = this.heights;
    this.atEnd = top + view >= h.total - endSlack;
    let row = h.find(top);
    if (h.offset(row) < top && row + 1 < h.count && h.offset(row + 1) < top + view) row++;
    this.row = row;
    this.into = top - h.offset(row);
  }

  toEnd(): void {
    this.atEnd = true;
  }

  /** Puts a row into the middle of the view, its beginning in any case. */
  center(row: number, view: number): void {
    this.atEnd = false;
    this.row = row;
    this.into = -Math.max(16, (view - this.heights.of(row)) / 2);
  }

  /** Puts the beginning of a row that far below the top of the view. */
  put(row: number, below: number): void {
    this.atEnd = false;
    this.row = row;
    this.into = -below;
  }

  /** Where to scroll. */
  top(view: number): number {
    const last = Math.max(0, this.heights.total - view);
    if (this.atEnd) return last;
    return Math.max(0, Math.min(last, this.heights.offset(this.row) + this.into));
  }

  /** Whether the view ends where the list does, put there or not. */
  touchesEnd(view: number): boolean {
    return this.top(view) + view >= this.heights.total - endSlack;
  }

  /** The rows to draw, both included. */
  range(view: number, beyond: number): { first: number; last: number } {
    const top = this.top(view);
    return { first: this.heights.find(top - beyond), last: this.heights.find(top + view + beyond) };
  }
}
