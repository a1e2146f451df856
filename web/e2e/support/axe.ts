import axe from 'axe-core';
import type { Page } from 'playwright-core';

/** What axe-core finds serious or critical on the page as it is now: rule, where first, and why. */
export async function serious(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    // what is on its way in or out has other colours than when it is there
    for (const moving of document.getAnimations()) {
      if (moving.effect?.getComputedTiming().endTime !== Infinity) moving.finish();
    }
    const { axe: tool } = window as unknown as { axe: typeof axe };
    const { violations } = await tool.run(document, { resultTypes: ['violations'] });
    return violations
      .filter((found) => found.impact === 'serious' || found.impact === 'critical')
      .flatMap((found) =>
        found.nodes.map((node) => `${found.id}: ${node.target.join(' ')}: ${node.failureSummary}`),
      );
  });
}
