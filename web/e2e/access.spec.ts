import type { BrowserContextOptions, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import { Account } from './support/account';
import { serious } from './support/axe';
import { furnished } from './support/furnished';
import type { Person } from './support/person';
import { png } from './support/pictures';
import { scene } from './support/scene';
import { settled } from './support/settled';
import { text } from './support/text';

// What opens upon the screens (dialogs, menus, trays, searches) as axe-core judges it; the screens themselves in Chinese (screens.spec.ts
// has them in English); and everything that a chat needs by keyboard alone.
const world = scene();
const LONG = 120_000;

const wide = { width: 1280, height: 800 };
const narrow = { width: 360, height: 740 };
const looks: [string, BrowserContextOptions][] = [
  ['wide, light, English', { viewport: wide, colorScheme: 'light', locale: 'en-US' }],
  ['wide, dark, Chinese', { viewport: wide, colorScheme: 'dark', locale: 'zh-CN' }],
  [
    'narrow, light, Chinese',
    { viewport: narrow, colorScheme: 'light', locale: 'zh-CN', hasTouch: true, isMobile: true },
  ],
  [
    'narrow, dark, English',
    { viewport: narrow, colorScheme: 'dark', locale: 'en-US', hasTouch: true, isMobile: true },
  ],
];

/** As a link within the app leads there. */
async function visit(page: Page, path: string): Promise<void> {
  await page.evaluate((to) => {
    history.pushState({}, '', to);
    dispatchEvent(new PopStateEvent('popstate'));
  }, path);
  await settled(page);
}

it.each(looks)('opens nothing with a serious fault: %s', { timeout: 8 * LONG }, async (_look, options) => {
  const { lena, paths, chat, group, person } = await furnished(world);
  const say = (key: Parameters<typeof text>[0], params = {}) =>
    text(key, params, options.locale === 'zh-CN' ? 'zh' : 'en');
  const guest = await world.visitor(options);
  const { page } = guest;
  const faults: string[] = [];
  const look = async (what: string) =>
    void faults.push(...(await serious(page)).map((fault) => `${what}: ${fault}`));
  await page.goto('/login');
  await page.getByLabel(say('login.username')).fill(lena.name);
  await page.getByLabel(say('login.password'), { exact: true }).fill(Account.PASSWORD);
  await page.getByRole('button', { name: say('login.submit'), exact: true }).click();
  await page.getByRole('navigation', { name: say('nav.label') }).waitFor();
  for (const path of options.locale === 'zh-CN' ? paths : []) {
    await visit(page, path);
    await look(path);
  }

  const button = (name: string) =>
    page.getByRole('button', { name, exact: true }).and(page.locator(':visible')).first();
  const dialog = page.locator('dialog[open]'); // whatever its name is
  const closed = async () => {
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  };
  await visit(page, person);
  for (const name of [say('person.editRemark'), say('person.block'), say('person.remove')]) {
    await button(name).click();
    await dialog.waitFor();
    await look(`${person}: ${name}`);
    await closed();
  }
  await visit(page, `${group}/info`);
  for (const name of [say('group.editTitle'), say('group.editAnnouncement'), say('group.add')]) {
    await button(name).click();
    await dialog.waitFor();
    await look(`${group}/info: ${name}`);
    await closed();
  }
  await page.getByRole('button', { name: say('group.menuOf', { name: 'Tom' }) }).click();
  await page.getByRole('menu').waitFor();
  await look(`${group}/info: menu`);
  await page.keyboard.press('Escape');

  // what is scrolled away is not judged
  await button(say('group.dissolve')).scrollIntoViewIfNeeded();
  await look(`${group}/info: its end`);

  await visit(page, chat);
  await button(say('compose.emoji')).click();
  await page.getByText(say('emoji.faces')).first().waitFor();
  await look(`${chat}: emoji`);
  await button(say('compose.emoji')).click();
  const chooser = page.waitForEvent('filechooser');
  await button(say('compose.attach')).click();
  await (
    await chooser
  ).setFiles([
    { name: 'holiday.png', mimeType: 'image/png', buffer: png(400, 300) },
    { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') },
  ]);
  const tray = page.getByRole('list', { name: say('compose.files') });
  await tray.getByRole('img').waitFor();
  await look(`${chat}: files to send`);
  await button(say('compose.send')).click();
  await page.getByTitle(say('chat.save')).waitFor();
  await look(`${chat}: with files`);
  await page
    .getByRole('log')
    .getByRole('button')
    .filter({ has: page.locator('img') })
    .click();
  await dialog.waitFor();
  await look(`${chat}: viewer`);
  await closed();
  await page.getByRole('log').getByText('Yes!').click({ button: 'right' });
  await page.getByRole('menu').waitFor();
  await look(`${chat}: menu`);
  await page.keyboard.press('Escape');
  await button(say('chat.search')).click();
  await page.getByRole('searchbox', { name: say('chat.search') }).fill('there');
  await page
    .getByText(/^(1 of 1|1 \/ 1|第.*)/)
    .first()
    .waitFor();
  await look(`${chat}: search`);
  await visit(page, '/chat');
  await page.getByRole('searchbox', { name: say('chats.searchHint') }).fill('o');
  await page
    .getByRole('region', { name: say('chats.results') })
    .getByRole('link')
    .filter({ hasText: 'notes.txt' })
    .waitFor();
  await look('/chat: search');
  expect(faults).toEqual([]);
});

/** Tab until the focus is there, as somebody without a mouse does. */
async function tabTo(page: Page, name: string | RegExp, most = 40): Promise<void> {
  const seen: string[] = [];
  for (let i = 0; i < most; i++) {
    const focused = await named(page);
    if (typeof name === 'string' ? focused === name : name.test(focused)) return;
    seen.push(focused);
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${String(name)}, but to: ${seen.join(', ')}`);
}
function named(page: Page): Promise<string> {
  return page.evaluate(() => {
    const it = document.activeElement as HTMLElement | null;
    const label = (it as HTMLInputElement | null)?.labels?.[0]?.textContent;
    return (it?.getAttribute('aria-label') ?? label ?? it?.textContent ?? '').trim();
  });
}

it('is used by keyboard alone, from the sign-in to a reply', async () => {
  const lena = await world.account('lena');
  const tom = await world.account('tom');
  await lena.befriend(tom);
  const id = await lena.chat(tom);
  await tom.sayAll(id, ['first words', 'second words']);
  const person: Person = await world.visitor();
  const { page, chat } = person;
  const { keyboard } = page;
  await page.getByLabel(en['login.username']).waitFor();
  await tabTo(page, en['login.username']);
  await keyboard.type(lena.name);
  await tabTo(page, en['login.password']);
  await keyboard.type(Account.PASSWORD);
  await keyboard.press('Enter');
  await chat.entry('Tom').waitFor();

  // into the list, open the chat, write
  await tabTo(page, en['chats.searchHint']);
  await keyboard.press('ArrowDown');
  await expect.poll(() => named(page)).toContain('second words');
  await keyboard.press('Enter');
  await chat.input.waitFor();
  await expect.poll(() => named(page)).toBe(en['compose.label']);
  await keyboard.type('written by keys');
  await keyboard.press('Enter');
  await chat.text('written by keys').waitFor();
  await chat.messages.getByText(en['chat.state.sent'], { exact: true }).waitFor();

  // up through the messages; a menu; a reply
  await keyboard.press('ArrowUp');
  await keyboard.press('ArrowUp');
  await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toContain('second words');
  await keyboard.press('Enter');
  await page.getByRole('menu').waitFor();
  await expect.poll(() => named(page)).toBe(en['chat.reply']);
  await keyboard.press('ArrowDown');
  await expect.poll(() => named(page)).toBe(en['chat.copy']);
  await keyboard.press('Escape');
  await page.getByRole('menu').waitFor({ state: 'detached' });
  await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toContain('second words');
  await keyboard.press('Enter');
  await page.getByRole('menuitem', { name: en['chat.reply'] }).waitFor();
  await keyboard.press('Enter');
  await page.getByText(text('compose.replyTo', { name: 'Tom' })).waitFor();
  await expect.poll(() => named(page)).toBe(en['compose.label']);
  await keyboard.press('Escape');
  await page.getByText(text('compose.replyTo', { name: 'Tom' })).waitFor({ state: 'detached' });
  await keyboard.press('ArrowUp');
  await keyboard.press('ArrowUp');
  await keyboard.press('Enter');
  await page.getByRole('menuitem', { name: en['chat.reply'] }).waitFor();
  await keyboard.press('Enter');
  await expect.poll(() => named(page)).toBe(en['compose.label']);
  await keyboard.type('an answer');
  await keyboard.press('Enter');
  await chat.row('an answer').getByText('second words').waitFor();
  await chat.row('an answer').getByText(en['chat.state.sent'], { exact: true }).waitFor();
  const sent = await tom.api('GET', `/api/messages/history?conversation_id=${id}&limit=10`);
  expect(sent.at(-1).reply_to).toBe(sent[1].id);

  // a dialog: it keeps the focus, Esc closes it and gives the focus back
  await keyboard.press('Control+K');
  await expect.poll(() => named(page)).toBe(en['chats.searchHint']);
  await visit(page, `/contacts/${tom.id}`);
  await page.getByRole('button', { name: en['person.editRemark'] }).waitFor();
  await tabTo(page, en['person.editRemark']);
  await keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: en['person.remark'] });
  await dialog.waitFor();
  for (let i = 0; i < 8; i++) {
    await keyboard.press('Tab');
    expect(await page.evaluate(() => !document.querySelector('dialog[open] ~ *:focus, main:focus'))).toBe(
      true,
    );
  }
  await tabTo(page, /^Your name for them/);
  await keyboard.type('Tommy');
  await keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Tommy' }).waitFor();
  await expect.poll(() => named(page)).toBe(en['person.editRemark']);
  await tabTo(page, en['person.block']);
  await keyboard.press('Enter');
  await page.getByRole('dialog', { name: text('person.blockTitle', { name: 'Tommy' }) }).waitFor();
  await keyboard.press('Escape');
  await expect.poll(() => named(page)).toBe(en['person.block']);
  await expect.poll(() => page.getByRole('button', { name: en['person.unblock'] }).count()).toBe(0);
});
