import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Locator, Page, Route } from 'playwright-core';
import { afterAll, expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import * as files from './support/files';
import { choose, drawn, hashOf, LONG, MEBI, row, saved, send, tray } from './support/files';
import type { Person } from './support/person';
import { png } from './support/pictures';
import { scene } from './support/scene';
import { text } from './support/text';
import { played, secondsOf } from './support/voice';

// Pictures, voice and files, as two people send them to each other.
const world = scene();
const dir = mkdtempSync(join(tmpdir(), 'parley-media-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const pair = (permissions: string[] = []) => files.pair(world, permissions);
const large = (name: string, bytes: number) => files.large(dir, name, bytes);

it('shows a chosen picture to the other one, small first, then as it is', async () => {
  const [lena, tom] = await pair();
  await choose(lena, { name: 'holiday.png', mimeType: 'image/png', buffer: png(1200, 800) });
  expect(await drawn(tray(lena).getByRole('img', { name: 'holiday.png' }))).toBe(320);
  await send(lena);
  const shown = row(tom, '').getByRole('img', { name: text('chat.image', { name: 'Lena' }) });
  expect(await drawn(shown)).toBe(320);
  await lena.chat.messages.getByText(en['chat.state.read'], { exact: true }).waitFor();

  await shown.click();
  const viewer = tom.page.getByRole('dialog', { name: 'holiday.png' });
  expect(await drawn(viewer.getByRole('img', { name: 'holiday.png' }))).toBe(1200);
  await tom.page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'detached' });
  expect(await tom.page.evaluate(() => document.activeElement?.querySelector('img')?.alt)).toBe(
    text('chat.image', { name: 'Lena' }),
  );
});

it('takes pictures from the clipboard', async () => {
  const [lena, tom] = await pair(['clipboard-read', 'clipboard-write']);
  await lena.page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const blob = new Blob([bytes], { type: 'image/png' });
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
  }, png(500, 400).toString('base64'));
  await lena.chat.input.focus();
  await lena.page.keyboard.press('Control+V');
  await tray(lena).getByRole('img').waitFor();
  await lena.page.keyboard.type('look');
  await lena.page.keyboard.press('Enter');
  expect(await drawn(row(tom, '').getByRole('img', { name: text('chat.image', { name: 'Lena' }) }))).toBe(
    320,
  );
  await tom.chat.text('look').waitFor();
  // the caption stands below its picture, though the picture takes longer
  expect(await row(tom, '').nth(1).innerText()).toContain('look');
});

it('takes files that are dropped, lets one be taken out again, and sends the rest', async () => {
  const [lena, tom] = await pair();
  const files = ['one.txt', 'two.txt', 'three.txt'].map((name) => join(dir, name));
  for (const path of files) writeFileSync(path, `I am ${basename(path)}`);
  const devtools = await lena.context.newCDPSession(lena.page);
  const data = { items: [], files, dragOperationsMask: 1 };
  const drag = (type: 'dragEnter' | 'dragOver' | 'drop') =>
    devtools.send('Input.dispatchDragEvent', { type, x: 900, y: 300, data });
  await drag('dragEnter');
  await drag('dragOver');
  await lena.page.getByText(en['compose.drop']).waitFor();
  await drag('drop');
  await lena.page.getByText(en['compose.drop']).waitFor({ state: 'detached' });
  await tray(lena).getByText('three.txt').waitFor();
  await lena.page.getByRole('button', { name: text('compose.remove', { name: 'two.txt' }) }).click();
  await send(lena);
  expect(await saved(tom, files[0]!)).toBe(await hashOf(files[0]!));
  expect(await saved(tom, files[2]!)).toBe(await hashOf(files[2]!));
  expect(await row(tom, 'two.txt').count()).toBe(0);
});

it('records a voice message, which the other one hears', async () => {
  const [lena, tom] = await pair(['microphone']);
  await lena.page.getByRole('button', { name: en['voice.record'] }).click();
  const recorder = lena.page.getByRole('group', { name: en['voice.recording'] });
  await secondsOf(recorder, 2);
  await recorder.getByRole('button', { name: en['voice.send'] }).click();
  await lena.chat.input.waitFor();

  expect((await played(row(tom, ''))).couldPause).toBe(true);
  // the page may stand still while the sound goes on: then the slider has not moved, that time
  await expect
    .poll(async () => (await played(row(tom, ''))).furthest, { timeout: LONG })
    .toBeGreaterThan(0.5);
  await row(tom, '').getByRole('button', { name: en['voice.play'] }).waitFor();
  // what was recorded is no silence: the beeps of Chromium's own microphone are in it
  const loudest = await tom.chat.messages.locator('audio').evaluate(async (element) => {
    const bytes = await (await fetch((element as HTMLAudioElement).src)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 48_000, 48_000).decodeAudioData(bytes);
    return sound.getChannelData(0).reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  });
  expect(loudest).toBeGreaterThan(0.05);
});

it('throws a recording away', async () => {
  const [lena, tom] = await pair(['microphone']);
  await lena.page.getByRole('button', { name: en['voice.record'] }).click();
  const recorder = lena.page.getByRole('group', { name: en['voice.recording'] });
  await secondsOf(recorder, 1);
  await recorder.getByRole('button', { name: en['voice.cancel'] }).click();
  await lena.chat.send('rather in words');
  await tom.chat.text('rather in words').waitFor();
  expect(await tom.chat.messages.getByRole('article').count()).toBe(1);
});

/** The PUTs of a page: the first `open` go through, the others wait. */
class Gate {
  private readonly waiting: Route[] = [];
  passed = 0;

  private constructor(private open: number) {}

  static async before(page: Page, open: number): Promise<Gate> {
    const gate = new Gate(open);
    await page.route('**/api/files/blob/**', async (route) => {
      if (route.request().method() !== 'PUT') return route.continue();
      if (gate.passed >= gate.open) return void gate.waiting.push(route);
      gate.passed += 1;
      await route.continue();
    });
    return gate;
  }

  get held(): number {
    return this.waiting.length;
  }
  /** What waits goes nowhere; what comes from now on goes through and is counted from 0 on. */
  lift(): void {
    this.waiting.length = 0;
    this.passed = 0;
    this.open = Infinity;
  }
}

const progress = (person: Person, name: string) => row(person, name).getByRole('progressbar');
const part = (bar: Locator) => bar.evaluate((element) => (element as HTMLProgressElement).value);

it('sends 50 MB with progress, stops when told to, and brings all of it', { timeout: 4 * LONG }, async () => {
  const [lena, tom] = await pair();
  const { path, hash } = large('fifty.bin', 50 * MEBI);
  const gate = await Gate.before(lena.page, 4);
  const began = lena.page.waitForRequest(/\/api\/files\/multipart\/\d+\/parts$/);
  await choose(lena, path);
  await send(lena);
  const upload = /multipart\/(\d+)/.exec((await began).url())![1]!;
  await expect.poll(() => gate.held, { timeout: LONG }).toBe(3);
  await expect.poll(() => part(progress(lena, 'fifty.bin')), { timeout: LONG }).toBeGreaterThanOrEqual(0.4);
  expect(await part(progress(lena, 'fifty.bin'))).toBeLessThan(0.8);
  await row(lena, 'fifty.bin')
    .getByText(/^Uploading [\d.]+ MB of 52 MB$/)
    .waitFor();
  await row(lena, 'fifty.bin').getByRole('button', { name: en['ui.cancel'] }).click();
  await row(lena, 'fifty.bin').waitFor({ state: 'detached' });
  const status = async () => (await lena.account.api('GET', `/api/files/multipart/${upload}`)).status;
  await expect.poll(status, { timeout: LONG }).toBe('aborted');

  gate.lift();
  await lena.page.unroute('**/api/files/blob/**');
  await choose(lena, path);
  await send(lena);
  expect(await saved(tom, path)).toBe(hash);
  expect(await row(tom, 'fifty.bin').count()).toBe(1);
});

it('goes on by itself with an upload that a reload has broken off', { timeout: 4 * LONG }, async () => {
  const [lena, tom] = await pair();
  const { path, hash } = large('twenty.bin', 20 * MEBI); // 4 parts; small enough to be kept by the page
  const gate = await Gate.before(lena.page, 2);
  await choose(lena, path);
  await send(lena);
  await expect.poll(() => part(progress(lena, 'twenty.bin')), { timeout: LONG }).toBeGreaterThanOrEqual(0.49);
  await expect.poll(() => gate.held, { timeout: LONG }).toBe(2);
  gate.lift();
  await lena.page.reload();
  // nobody waits for claims of the page that is gone: those would hold for 15 s and more
  await expect.poll(() => gate.passed, { timeout: 14_500, interval: 50 }).toBeGreaterThan(0);
  expect(await saved(tom, path)).toBe(hash);
  expect(gate.passed).toBe(2);
  await row(lena, 'twenty.bin')
    .getByText(/Sent|Read/)
    .waitFor();
});

it(
  'asks for a larger file again after a reload, and sends only what lacks',
  { timeout: 4 * LONG },
  async () => {
    const [lena, tom] = await pair();
    const { path, hash } = large('forty.bin', 40 * MEBI); // 8 parts
    const gate = await Gate.before(lena.page, 3);
    await choose(lena, path);
    await send(lena);
    await expect
      .poll(() => part(progress(lena, 'forty.bin')), { timeout: LONG })
      .toBeGreaterThanOrEqual(0.37);
    await expect.poll(() => gate.held, { timeout: LONG }).toBe(3);
    gate.lift();
    await lena.page.reload();
    const again = row(lena, 'forty.bin').getByRole('button', { name: en['chat.chooseAgain'] });
    await again.waitFor({ timeout: LONG });
    const chooser = lena.page.waitForEvent('filechooser');
    await again.click();
    await (await chooser).setFiles(path);
    expect(await saved(tom, path)).toBe(hash);
    expect(gate.passed).toBe(5);
  },
);
