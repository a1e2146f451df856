import { onScopeDispose, ref, type Ref } from 'vue';

/** The time as a ref that moves every so often, for as long as its component lives. */
export function useNow(everyMs: number): Ref<number> {
  const now = ref(Date.now());
  const timer = setInterval(() => (now.value = Date.now()), everyMs);
  onScopeDispose(() => clearInterval(timer));
  return now;
}
