import type { Locator } from 'playwright-core';
import { expect } from 'vitest';

/**
 * Words that are gone again after a few seconds. A locator looks from outside, twice a second where nobody is held up, so the page
 * itself looks from now on. What comes back waits until they have been there.
 */
export async function glimpse(root: Locator, words: string): Promise<() => Promise<void>> {
  const seen = await root.evaluateHandle((element, wanted) => {
    const state = { yet: false };
    const watcher = new MutationObserver(() => {
      state.yet ||= (element as HTMLElement).innerText.includes(wanted);
      if (state.yet) watcher.disconnect();
    });
    watcher.observe(element, { subtree: true, childList: true, characterData: true, attributes: true });
    return state;
  }, words);
  return () => expect.poll(() => seen.evaluate(({ yet }) => yet), { message: words }).toBe(true);
}
