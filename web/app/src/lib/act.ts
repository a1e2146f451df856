import { ref } from 'vue';

/**
 * Runs one thing at a time and tells how it goes: `busy` while it runs, `problem` if it failed, until the next one begins. `run` is
 * for a button that is shut meanwhile: a second press does nothing. `inTurn` is for a choice that must not get lost: it waits.
 */
export function useAct(told: (error: unknown) => string) {
  const busy = ref(false);
  const problem = ref('');
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  async function attempt<T>(what: () => Promise<T>): Promise<T | undefined> {
    problem.value = '';
    try {
      return await what();
    } catch (error) {
      problem.value = told(error);
      return undefined;
    } finally {
      busy.value = --waiting > 0;
    }
  }
  function inTurn<T>(what: () => Promise<T>): Promise<T | undefined> {
    const mine = waiting++ ? last.then(() => attempt(what)) : attempt(what);
    busy.value = waiting > 0;
    last = mine;
    return mine;
  }
  const run = async <T>(what: () => Promise<T>): Promise<T | undefined> =>
    busy.value ? undefined : inTurn(what);
  return { busy, problem, run, inTurn };
}
