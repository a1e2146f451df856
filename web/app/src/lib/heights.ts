// The heights of very many rows, of which few have been measured: where a row begins, which row is at a place, in log n.
// A row that nobody has measured counts with the estimate. A Fenwick tree holds only the differences to it, so rows that
// come at the end cost nothing.
export class Heights {
  private own: Float64Array;
  private tree: Float64Array;
  private capacity: number;
  private rows = 0;
  private extra = 0;

  constructor(readonly estimate: number) {
    this.capacity = 256;
    this.own = new Float64Array(this.capacity).fill(NaN);
    this.tree = new Float64Array(this.capacity + 1);
  }

  get count(): number {
    return this.rows;
  }
  get total(): number {
    return this.rows * this.estimate + this.extra;
  }

  /** Rows come or go at the end; those that go are forgotten. */
  resize(count: number): void {
    for (let at = this.rows - 1; at >= count; at--) this.set(at, this.estimate, true);
    if (count > this.capacity) this.grow(count);
    this.rows = count;
  }

  of(row: number): number {
    const own = this.own[row];
    return own === undefined || Number.isNaN(own) ? this.estimate : own;
  }

  measured(row: number): boolean {
    return row < this.rows && !Number.isNaN(this.own[row]!);
  }

  /** Answers by how much the row has changed. */
  set(row: number, height: number, forget = false): number {
    if (row < 0 || row >= this.rows) return 0;
    const delta = height - this.of(row);
    this.own[row] = forget ? NaN : height;
    if (delta === 0) return 0;
    this.extra += delta;
    for (let at = row + 1; at <= this.capacity; at += at & -at) this.tree[at]! += delta;
    return delta;
  }

  /** Where the row begins; of(count) is the total. */
  offset(row: number): number {
    const upTo = Math.max(0, Math.min(row, this.rows));
    let sum = upTo * this.estimate;
    for (let at = upTo; at > 0; at -= at & -at) sum += this.tree[at]!;
    return sum;
  }

  /** The row that covers this place; the first or last one for places outside. */
  find(y: number): number {
    let at = 0;
    let rest = y;
    for (let bit = this.capacity; bit > 0; bit >>= 1) {
      const next = at + bit;
      if (next > this.rows) continue;
      const height = bit * this.estimate + this.tree[next]!;
      if (height <= rest) {
        at = next;
        rest -= height;
      }
    }
    return Math.max(0, Math.min(at, this.rows - 1));
  }

  /** Nothing is measured any more: another width, another conversation. */
  clear(): void {
    this.own.fill(NaN);
    this.tree.fill(0);
    this.extra = 0;
  }

  private grow(count: number): void {
    while (this.capacity < count) this.capacity *= 2;
    const own = new Float64Array(this.capacity).fill(NaN);
    own.set(this.own);
    this.own = own;
    this.tree = new Float64Array(this.capacity + 1);
    for (let at = 1; at <= this.capacity; at++) {
      const value = own[at - 1]!;
      this.tree[at]! += Number.isNaN(value) ? 0 : value - this.estimate;
      const parent = at + (at & -at);
      if (parent <= this.capacity) this.tree[parent]! += this.tree[at]!;
    }
  }
}
