import type { Locator } from 'playwright-core';
import { expect } from 'vitest';
import { en } from '../../app/src/i18n/en';

/** The timer of a recording has come to that second; a busy machine may draw another one next. */
export async function secondsOf(recorder: Locator, least: number): Promise<void> {
  const timer = recorder.getByRole('timer');
  const shown = async () => Number((await timer.textContent())!.split(':')[1]);
  await expect.poll(shown).toBeGreaterThanOrEqual(least);
}

interface Played {
  couldPause: boolean;
  /** Of the slider, in seconds. */
  furthest: number;
}

/** What the row of a voice message shows while its sound goes to its end, too soon over for who looks from outside now and then. */
export async function played(row: Locator, timeout = 30_000): Promise<Played> {
  const play = row.getByRole('button', { name: en['voice.play'] });
  await play.waitFor({ timeout });
  const seen = await row.evaluateHandle(follow, en['voice.pause']);
  await play.click();
  await expect.poll(() => seen.evaluate(({ ended }) => ended), { timeout }).toBe(true);
  return seen.evaluate((it) => it);
}

/** Runs in the page. */
function follow(row: Element, pause: string): Played & { ended: boolean } {
  const seen = { couldPause: false, furthest: 0, ended: false };
  const look = () => {
    const labels = [...row.querySelectorAll('button')].map((it) => it.getAttribute('aria-label'));
    seen.couldPause ||= labels.includes(pause);
    const slider = row.querySelector<HTMLInputElement>('input[type="range"]');
    seen.furthest = Math.max(seen.furthest, Number(slider?.value));
  };
  new MutationObserver(look).observe(row, { subtree: true, childList: true, attributes: true });
  const audio = row.querySelector('audio')!;
  audio.addEventListener('timeupdate', look);
  audio.addEventListener('ended', () => (seen.ended = true));
  return seen;
}
