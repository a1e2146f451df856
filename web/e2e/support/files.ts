import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Locator } from 'playwright-core';
import { expect } from 'vitest';
import { en } from '../../app/src/i18n/en';
import type { Person } from './person';
import type { Scene } from './world';

// Files as two people send them to each other, seen on their screens.
export const LONG = 120_000;
export const MEBI = 2 ** 20;

/** Two people in a chat with each other, and its id. */
export async function pair(world: Scene, permissions: string[] = []): Promise<[Person, Person, number]> {
  const lena = await world.person('lena', { permissions });
  const tom = await world.person('tom', { acceptDownloads: true });
  await lena.account.befriend(tom.account);
  const id = await lena.account.chat(tom.account);
  await lena.page.goto(`/chat/${id}`);
  await tom.page.goto(`/chat/${id}`);
  await Promise.all([lena.chat.input.waitFor(), tom.chat.input.waitFor()]);
  return [lena, tom, id];
}

export async function choose(
  { page }: Person,
  files: Parameters<Locator['setInputFiles']>[0],
): Promise<void> {
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: en['compose.attach'] }).click();
  await (await chooser).setFiles(files);
}
export const tray = ({ page }: Person) => page.getByRole('list', { name: en['compose.files'] });
export const send = ({ page }: Person) =>
  page.getByRole('button', { name: en['compose.send'], exact: true }).click();

/** The picture is decoded: its own width. Its address may become another one while it is loaded. */
export async function drawn(image: Locator): Promise<number> {
  await image.waitFor();
  const width = () =>
    image.evaluate((element: HTMLImageElement) =>
      element.decode().then(
        () => element.naturalWidth,
        () => 0,
      ),
    );
  await expect.poll(width).toBeGreaterThan(0);
  return width();
}

/** A file of bytes that nothing can make smaller. */
export function large(dir: string, name: string, bytes: number): { path: string; hash: string } {
  const path = join(dir, name);
  const content = randomFillSync(Buffer.alloc(bytes));
  writeFileSync(path, content);
  return { path, hash: createHash('sha256').update(content).digest('hex') };
}
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
export const row = ({ chat }: Person, name: string) =>
  chat.messages.getByRole('article').filter({ hasText: name });

/** Saves the file that the other one has got, and tells what came. */
export async function saved(person: Person, path: string): Promise<string> {
  const card = row(person, basename(path)).getByTitle(en['chat.save']);
  await card.waitFor({ timeout: LONG });
  const [download] = await Promise.all([
    person.page.waitForEvent('download', { timeout: LONG }),
    card.click(),
  ]);
  expect(download.suggestedFilename()).toBe(basename(path));
  return hashOf(await download.path());
}
