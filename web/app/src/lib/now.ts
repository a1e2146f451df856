import { onScopeDispose, ref, type Ref } from 'vue';

/** The time as a ref that moves every so often, for as long as its component lives. */
export function useNow(everyMs: number): Ref<number> {
  const now = ref(Date.now());
  const timer = setInterval(() => (now.value = Date.now()), everyMs);
  onScopeDispose(() => clearInterval(timer));
  return now;
}

export const startOfDay = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);

const today = ref(startOfDay(Date.now()));
setInterval(() => (today.value = startOfDay(Date.now())), 20_000);
/** The time for what names days by it ("Today"): that is drawn again soon after midnight, or when a machine wakes that slept over it. */
export const nowByDay = (): number => Math.max(today.value, Date.now());
