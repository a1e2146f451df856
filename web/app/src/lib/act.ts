import { ref } from 'vue';

/** Runs one thing at a time and tells how it goes: `busy` while it runs, `problem` if it failed, until the next run. */
export function useAct(told: (error: unknown) => string) {
  const busy = ref(false);
  const problem = ref('');
  async function run<T>(what: () => Promise<T>): Promise<T | undefined> {
    if (busy.value) return undefined;
    busy.value = true;
    problem.value = '';
    try {
      return await what();
    } catch (error) {
      problem.value = told(error);
      return undefined;
    } finally {
      busy.value = false;
    }
  }
  return { busy, problem, run };
}
