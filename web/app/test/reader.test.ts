import { describe, expect, it } from 'vitest';
import { reader } from '../src/lib/reader';

/** Reads that end when they are told to. */
function held() {
  const ends: { done: () => void; fail: (error: Error) => void }[] = [];
  const read = reader(() => new Promise<void>((done, fail) => ends.push({ done, fail })));
  return { read, ends };
}
const settle = () => new Promise((done) => setTimeout(done));

describe('a reader', () => {
  it('reads once more for all who asked while it read, and they wait for that', async () => {
    const { read, ends } = held();
    const over: string[] = [];
    void read().then(() => over.push('first'));
    void read().then(() => over.push('second'));
    void read().then(() => over.push('third'));
    expect(ends.length).toBe(1);
    ends[0]!.done();
    await settle();
    expect([ends.length, over]).toEqual([2, []]);
    ends[1]!.done();
    await settle();
    expect([ends.length, over]).toEqual([2, ['first', 'second', 'third']]);
    void read();
    expect(ends.length).toBe(3);
  });

  it('reads again though the read before has failed, and tells the failure of the last one', async () => {
    const { read, ends } = held();
    const both = Promise.allSettled([read(), read()]);
    ends[0]!.fail(new Error('old'));
    await settle();
    expect(ends.length).toBe(2);
    ends[1]!.done();
    expect((await both).map((it) => it.status)).toEqual(['fulfilled', 'fulfilled']);
    const last = read();
    ends[2]!.fail(new Error('no network'));
    await expect(last).rejects.toThrow('no network');
    void read();
    expect(ends.length).toBe(4);
  });
});
