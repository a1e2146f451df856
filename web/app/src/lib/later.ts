import { defineAsyncComponent, type Component } from 'vue';

// Parts of the app that are loaded when they are needed, or before, once the page is at rest (warmUp): then a server that is
// away for a while takes no screen away. A part that cannot be loaded is tried again until it comes.
type Load = () => Promise<{ default: Component }>;
const parts: Load[] = [];
const tries = 60;
const longestMs = 10_000;

export function later(load: Load, loading?: Component): Component {
  parts.push(load);
  return defineAsyncComponent({
    loader: load,
    ...(loading && { loadingComponent: loading, delay: 150 }),
    onError(error, retry, fail, attempt) {
      if (attempt > tries) return fail();
      console.warn('parley: a part did not load', error.message);
      const timer = setTimeout(again, Math.min(longestMs, 500 * 2 ** Math.min(attempt, 10)));
      addEventListener('online', again, { once: true });
      function again() {
        clearTimeout(timer);
        removeEventListener('online', again);
        retry();
      }
    },
  });
}

/** Loads one part after the other while the page has nothing else to do. Parts that these name come, too. */
export async function warmUp(): Promise<void> {
  for (let at = 0; at < parts.length; at++) {
    await idle();
    await parts[at]!().catch(() => {});
  }
}
const idle = () =>
  new Promise<void>((done) =>
    'requestIdleCallback' in globalThis
      ? requestIdleCallback(() => done(), { timeout: 5000 })
      : setTimeout(done, 300),
  );
