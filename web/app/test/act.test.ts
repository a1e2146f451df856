import { describe, expect, it, vi } from 'vitest';
import { useAct } from '../src/lib/act';

/** Something to do that ends when it is told to. */
function work(log: string[], name: string) {
  let done!: () => void;
  const what = () => {
    log.push(name);
    return new Promise<string>((resolve) => (done = () => resolve(name)));
  };
  return { what, end: () => done() };
}

describe('an act', () => {
  it('is begun at once, and a second press while it runs does nothing', async () => {
    const { busy, run } = useAct(String);
    const log: string[] = [];
    const first = work(log, 'first');
    const pressed = run(first.what);
    expect([log, busy.value]).toEqual([['first'], true]);
    expect(await run(work(log, 'second').what)).toBeUndefined();
    first.end();
    expect(await pressed).toBe('first');
    expect([log, busy.value]).toEqual([['first'], false]);
  });

  it('that must not get lost waits for the one before, also for one that fails', async () => {
    const told: string[] = [];
    const { busy, run, inTurn } = useAct((error) => (told.push(String(error)), ''));
    const log: string[] = [];
    const first = work(log, 'first');
    const pressed = run(first.what);
    const failing = inTurn(() => Promise.reject(new Error('refused')));
    const third = work(log, 'third');
    const last = inTurn(third.what);
    expect(log).toEqual(['first']);
    first.end();
    expect(await pressed).toBe('first');
    expect(busy.value).toBe(true);
    expect(await failing).toBeUndefined();
    expect(told).toEqual(['Error: refused']);
    await vi.waitUntil(() => log.length === 2, { timeout: 20_000 });
    expect(log).toEqual(['first', 'third']);
    third.end();
    expect(await last).toBe('third');
    expect(busy.value).toBe(false);
  });
});
