import type { Page } from 'playwright-core';

/** The page has drawn what it loads: no spinner, and nothing changed for a moment. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(
    () =>
      new Promise((resolve) => {
        const calm = () => resolve(document.querySelector('[aria-busy="true"]') === null);
        let timer = setTimeout(calm, 400);
        const watcher = new MutationObserver(() => {
          clearTimeout(timer);
          timer = setTimeout(calm, 400);
        });
        watcher.observe(document, { subtree: true, childList: true, characterData: true });
      }),
  );
}
