import { describe, expect, it } from 'vitest';
import type { Locator } from 'playwright-core';
import { en } from '../app/src/i18n/en';
import { serious } from './support/axe';
import { glimpse } from './support/glimpse';
import type { Person } from './support/person';
import { scene, type Scene } from './support/scene';

// Calls as people see them; what becomes of a call is call.spec.ts's.
const world = scene({ conf: { 'call.ring': '60s' } });
const media = { permissions: ['camera', 'microphone'] };

/** Lena looks at her chat with Tom, who looks at something else. */
async function two(at: Scene = world): Promise<[Person, Person]> {
  const [lena, tom] = await Promise.all(['lena', 'tom'].map((name) => at.account(name)));
  await lena!.befriend(tom!);
  const id = await lena!.chat(tom!);
  const caller = await at.signedIn(lena!, media);
  const callee = await at.signedIn(tom!, media);
  await caller.page.goto(`/chat/${id}`);
  await caller.chat.input.waitFor();
  await callee.page.goto('/settings/look');
  return [caller, callee];
}

const dialog = (person: Person, other: string) =>
  person.page.getByRole('dialog', { name: en['call.with'].replace('{name}', other) });
const press = (at: Locator, name: string) => at.getByRole('button', { name, exact: true }).click();

/** The picture moves: it has a size, and its time goes on. */
async function moves(picture: Locator): Promise<void> {
  const state = () =>
    picture.evaluate((video: HTMLVideoElement) => [video.videoWidth, video.currentTime] as const);
  await expect.poll(async () => (await state())[0]).toBeGreaterThan(0);
  const [, before] = await state();
  await expect.poll(async () => (await state())[1]).toBeGreaterThan(before + 0.3);
}

it('ring, show both their pictures, let them chat meanwhile, and end for both', async () => {
  const [lena, tom] = await two();
  await press(lena.page.getByRole('main'), en['person.video']);
  const [hers, his] = [dialog(lena, 'Tom'), dialog(tom, 'Lena')];
  await hers.getByText(en['call.ringing']).waitFor();
  await his.getByText(en['call.incomingVideo']).waitFor();
  expect(await serious(tom.page)).toEqual([]);
  await press(his, en['call.accept']);
  await hers
    .getByRole('timer')
    .filter({ hasText: /^\d+:\d\d/ })
    .waitFor({ timeout: 30_000 });
  await his
    .getByRole('timer')
    .filter({ hasText: /^\d+:\d\d/ })
    .waitFor({ timeout: 30_000 });
  await moves(hers.getByLabel(en['call.theirPicture'].replace('{name}', 'Tom')));
  await moves(his.getByLabel(en['call.theirPicture'].replace('{name}', 'Lena')));
  await moves(hers.getByLabel(en['call.yourPicture']));
  expect(await serious(lena.page)).toEqual([]);
  await press(hers, en['call.smaller']);
  await lena.chat.send('I can write while we talk');
  await lena.chat
    .row('I can write while we talk')
    .getByText(en['chat.state.sent'], { exact: true })
    .waitFor();
  const over = await glimpse(hers, en['call.ended.over']);
  await press(his, en['call.hangup']);
  await over();
  await hers.waitFor({ state: 'hidden' });
  await his.waitFor({ state: 'hidden' });
});

it('tell the caller when they are declined', async () => {
  const [lena, tom] = await two();
  await press(lena.page.getByRole('main'), en['person.call']);
  const declined = await glimpse(dialog(lena, 'Tom'), en['call.ended.declined']);
  await press(dialog(tom, 'Lena'), en['call.decline']);
  await declined();
  await dialog(lena, 'Tom').waitFor({ state: 'hidden' });
});

describe('where it rings not for long', () => {
  const hasty = scene({ conf: { 'call.ring': '4s' } });

  it('leave a note in the chat when nobody takes them', async () => {
    const [lena, tom] = await two(hasty);
    await press(lena.page.getByRole('main'), en['person.call']);
    await lena.chat.messages.getByText(en['kind.noAnswer']).waitFor({ timeout: 40_000 });
    await tom.page.goto('/chat');
    await tom.chat.open('Lena');
    await tom.chat.messages.getByText(en['kind.missedAudio']).waitFor();
  });
});

it('say so when the browser gives no microphone', async () => {
  const [lena] = await two();
  await lena.context.clearPermissions();
  await lena.page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  });
  await lena.page.reload();
  await lena.chat.input.waitFor();
  await press(lena.page.getByRole('main'), en['person.call']);
  await lena.page.getByText(en['call.noPermission']).first().waitFor();
});
