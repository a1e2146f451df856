import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import { codeOf } from '../app/src/lib/code';
import { Details } from './support/details';
import { glimpse } from './support/glimpse';
import type { Person } from './support/person';
import { png } from './support/pictures';
import { scene } from './support/scene';
import { text } from './support/text';

// People and groups, through the screens of each who takes part.
const world = scene();

async function ask(person: Person, wanted: string, name: string, words: string): Promise<void> {
  const { page } = person;
  await page.goto('/contacts/add');
  await page.getByRole('searchbox', { name: en['contacts.find'] }).fill(wanted);
  await page.getByRole('list', { name: en['contacts.results'] }).getByRole('link', { name }).click();
  await page.getByRole('button', { name: en['person.add'] }).click();
  const dialog = page.getByRole('dialog', { name: text('person.addTitle', { name }) });
  await dialog.getByLabel(en['person.words']).fill(words);
  const asked = await told(person, text('person.asked', { name }));
  await dialog.getByRole('button', { name: en['person.send'] }).click();
  await asked();
}
/** Notes at the edge of the page stay for 4 s. */
const told = ({ page }: Person, words: string) => glimpse(page.locator('body'), words);
const contact = (person: Person, name: string) =>
  person.page.getByRole('list', { name: en['nav.contacts'] }).getByRole('link', { name });

it('finds people by name and by code, asks with words, accepts and declines', async () => {
  const lena = await world.person('lena');
  const tom = await world.person('tom');
  const mia = await world.person('mia');
  await tom.page.goto('/contacts/requests');
  await tom.page.getByText(en['requests.none']).waitFor();
  await ask(lena, tom.account.name.slice(0, -1), 'Tom', 'we met at the lake');
  await tom.page.getByText('we met at the lake').waitFor();
  await ask(mia, codeOf(tom.account.id), 'Tom', 'hello from Mia');
  const from = (name: string) => tom.page.getByRole('listitem').filter({ hasText: name });
  await from('hello from Mia').getByRole('button', { name: en['requests.reject'] }).click();
  await from('hello from Mia').waitFor({ state: 'detached' });
  await lena.page.goto('/contacts');
  const added = await told(tom, text('person.added', { name: 'Lena' }));
  await from('we met').getByRole('button', { name: en['requests.accept'] }).click();
  await added();
  await contact(tom, 'Lena').waitFor();
  await contact(lena, 'Tom').waitFor();

  await mia.page.goto('/contacts/requests');
  await mia.page.getByRole('tab', { name: en['requests.outgoing'] }).click();
  await mia.page.getByText(en['requests.rejected'], { exact: true }).waitFor();
  await mia.page.goto('/contacts');
  await mia.page.getByText(en['contacts.none']).waitFor();
});

it('gives a contact another name, blocks, and lets in again', async () => {
  const lena = await world.person('lena');
  const tom = await world.person('tom');
  await lena.account.befriend(tom.account);
  const id = await lena.account.chat(tom.account);
  await tom.page.goto(`/chat/${id}`);
  await tom.chat.input.waitFor();
  const { page } = lena;
  await page.goto(`/contacts/${tom.account.id}`);
  await page.getByRole('button', { name: en['person.editRemark'] }).click();
  const dialog = page.getByRole('dialog', { name: en['person.remark'] });
  await dialog.getByLabel(en['person.remark']).fill('Tommy from school');
  await dialog.getByLabel(en['person.remark']).press('Enter');
  await page.getByRole('heading', { name: 'Tommy from school' }).waitFor();
  await contact(lena, 'Tommy from school').waitFor();

  await page.getByRole('button', { name: en['person.block'], exact: true }).click();
  await page
    .getByRole('dialog', { name: text('person.blockTitle', { name: 'Tommy from school' }) })
    .getByRole('button', { name: en['person.block'] })
    .click();
  await page.getByRole('button', { name: en['person.unblock'] }).waitFor();
  await tom.chat.send('can you hear me?');
  await tom.page
    .getByRole('alert')
    .getByText(/Not sent: This person does not accept/)
    .waitFor();

  await page.goto('/contacts/blocked');
  const blocked = page.getByRole('list', { name: en['contacts.blocked'] });
  await blocked.getByRole('listitem').filter({ hasText: 'Tom' }).getByRole('button').click();
  await page.getByText(en['contacts.noneBlocked']).waitFor();
  await tom.page.getByRole('alert').getByRole('button', { name: en['ui.retry'] }).click();
  await page.goto(`/chat/${id}`);
  await lena.chat.text('can you hear me?').waitFor();
  expect(await lena.chat.messages.getByRole('article').count()).toBe(1);
});

/** What only those who manage a group may see. */
const managing = ['group.editTitle', 'group.editAnnouncement', 'ui.changePicture'] as const;
const switches = ['group.approval', 'group.muteAll'] as const;

async function sees(pane: Details, role: 'member' | 'admin' | 'owner'): Promise<void> {
  const expected = role === 'member' ? 0 : 1;
  for (const key of switches) await expect.poll(() => pane.switch(key).count()).toBe(expected);
  for (const key of managing) await expect.poll(() => pane.button(key).count()).toBe(expected);
  await expect.poll(() => pane.button('group.dissolve').count()).toBe(role === 'owner' ? 1 : 0);
  await expect.poll(() => pane.button('group.leave').count()).toBe(role === 'owner' ? 0 : 1);
}
const silences = ['group.mute10m', 'group.mute1h', 'group.mute1d', 'group.mute7d'] as const;
const words = (...keys: Parameters<typeof text>[0][]) => keys.map((key) => text(key));

it('makes a group of five out of contacts, who each see what their role may', async () => {
  const lena = await world.person('lena');
  const tom = await world.person('tom');
  const mia = await world.person('mia');
  const ana = await world.account('ana');
  const bob = await world.account('bob');
  for (const other of [tom.account, mia.account, ana, bob]) await lena.account.befriend(other);

  await lena.page.goto('/contacts/group');
  await lena.page.getByLabel(en['group.title']).fill('Hikers');
  for (const name of ['Tom', 'Mia', 'Ana', 'Bob']) await lena.page.getByRole('checkbox', { name }).check();
  await lena.page.getByRole('button', { name: text('group.createWith', { n: 4 }) }).click();
  await lena.chat.input.waitFor();
  const id = Number(/\/chat\/(\d+)/.exec(lena.page.url())![1]);
  for (const person of [tom, mia]) {
    await person.chat.open('Hikers');
    await person.page.getByRole('button', { name: en['chat.details'] }).click();
  }
  await lena.page.getByRole('button', { name: en['chat.details'] }).click();
  const [owner, toms, mias] = [lena, tom, mia].map((person) => new Details(person.page)) as [
    Details,
    Details,
    Details,
  ];
  for (const pane of [owner, toms, mias]) await expect.poll(() => pane.members.count()).toBe(5);
  await sees(owner, 'owner');
  await sees(toms, 'member');
  expect(await toms.choices('Mia')).toEqual(words('group.profile'));
  expect(await toms.choices('Lena')).toEqual(words('group.profile'));
  expect(await toms.choices('Tom')).toEqual(words('group.nickname'));
  expect(await owner.choices('Tom')).toEqual(
    words('group.profile', ...silences, 'group.makeAdmin', 'group.transfer', 'group.remove'),
  );

  // the name, the announcement
  await owner.write('group.editTitle', 'group.title', 'Mountain hikers');
  await tom.chat.entry('Mountain hikers').waitFor();
  await owner.write('group.editAnnouncement', 'group.announcement', 'Saturday at eight.\nBring water.');
  await mias.pane.getByText('Saturday at eight. Bring water.').waitFor();

  // who may write
  await owner.switch('group.muteAll').check();
  await tom.page.getByRole('note').getByText(en['compose.mutedAll']).waitFor();
  await lena.chat.input.waitFor();
  await owner.switch('group.muteAll').uncheck();
  await tom.chat.input.waitFor();
  await owner.do('Tom', 'group.mute1h');
  await tom.page
    .getByRole('note')
    .getByText(/^You have been muted until/)
    .waitFor();
  await mia.chat.input.waitFor();
  await owner
    .member('Tom')
    .getByText(/^Silenced until/)
    .waitFor();
  await owner.do('Tom', 'group.unmute');
  await tom.chat.input.waitFor();

  // an admin
  await owner.do('Tom', 'group.makeAdmin');
  await sees(toms, 'admin');
  await mias.member('Tom').getByText(en['group.role.admin']).waitFor();
  expect(await toms.choices('Mia')).toEqual(words('group.profile', ...silences, 'group.remove'));
  expect(await toms.choices('Lena')).toEqual(words('group.profile'));
  await toms.do('Ana', 'group.remove');
  await toms.confirm(text('group.removeTitle', { name: 'Ana' }), 'group.remove');
  for (const pane of [owner, toms, mias]) await expect.poll(() => pane.members.count()).toBe(4);
  expect((await ana.api('GET', '/api/conversations')).map((it: { id: number }) => it.id)).not.toContain(id);

  // another owner
  await owner.do('Tom', 'group.transfer');
  await owner.confirm(text('group.transferTitle', { name: 'Tom' }), 'group.transfer');
  await sees(toms, 'owner');
  await expect.poll(() => owner.button('group.dissolve').count()).toBe(0);
  // the list of members that the change of the owner made her ask for may be answered when she has left
  lena.watch.forgive(/status of 403/);
  await owner.button('group.leave').click();
  await owner.confirm(text('group.leaveTitle', { name: 'Mountain hikers' }), 'group.leave');
  await lena.chat.entry('Mountain hikers').waitFor({ state: 'detached' });
  await expect.poll(() => new URL(lena.page.url()).pathname).toBe('/chat');
  await expect.poll(() => mias.members.count()).toBe(3);

  await toms.button('group.dissolve').click();
  await toms.confirm(text('group.dissolveTitle', { name: 'Mountain hikers' }), 'group.dissolve');
  for (const person of [tom, mia])
    await person.page.getByRole('note').getByText(en['compose.dissolved']).waitFor();
  await sees(mias, 'member');
});

it('lets people in who ask, and others not', async () => {
  const lena = await world.person('lena');
  const nora = await world.person('nora');
  const max = await world.account('max');
  const id = await lena.account.group('Book club', [await world.account('tom')]);
  await lena.page.goto(`/chat/${id}/info`);
  const pane = new Details(lena.page);
  await pane.switch('group.approval').check();
  await expect
    .poll(async () => (await lena.account.api('GET', `/api/conversations/${id}`)).join_mode)
    .toBe('approval');

  await nora.page.goto('/contacts/group');
  await nora.page.getByRole('button', { name: en['group.join'] }).click();
  const dialog = nora.page.getByRole('dialog', { name: en['group.join'] });
  await dialog.getByLabel(en['group.number']).fill(String(id));
  await dialog.getByLabel(en['group.joinWords']).fill('I have read all of it');
  const asked = await told(nora, en['group.asked']);
  await dialog.getByRole('button', { name: en['group.joinSend'] }).click();
  await asked();
  await max.api('POST', `/api/conversations/${id}/join`, { message: 'let me in' });

  const asking = pane.pane.getByRole('list', { name: en['group.requestList'] }).getByRole('listitem');
  await expect.poll(() => asking.count()).toBe(2);
  await asking.filter({ hasText: 'let me in' }).getByRole('button', { name: en['requests.reject'] }).click();
  await expect.poll(() => asking.count()).toBe(1);
  await asking
    .filter({ hasText: 'I have read all of it' })
    .getByRole('button', { name: en['requests.accept'] })
    .click();
  await nora.page.goto('/chat');
  await nora.chat.open('Book club');
  await pane.member('Nora').waitFor();
  await expect.poll(() => asking.count()).toBe(0);
  expect(await pane.member('Max').count()).toBe(0);
});

it('shows a new name and picture to others', async () => {
  const lena = await world.person('lena');
  const tom = await world.person('tom');
  await lena.account.befriend(tom.account);
  const { page } = lena;
  await page.goto('/settings/profile');
  await page.getByLabel(en['register.displayName']).fill('Lena the Great');
  const kept = await told(lena, en['settings.saved']);
  await page.getByRole('button', { name: en['ui.save'] }).click();
  await kept();
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: en['ui.changePicture'] }).click();
  await (await chooser).setFiles({ name: 'me.png', mimeType: 'image/png', buffer: png(640, 480) });
  await page.getByRole('button', { name: en['settings.noPicture'] }).waitFor();
  await tom.page.goto(`/contacts/${lena.account.id}`);
  await tom.page.getByRole('heading', { name: 'Lena the Great' }).waitFor();
  const widths = () =>
    tom.page.evaluate(() =>
      [...document.querySelectorAll('main img')].map((it) => (it as HTMLImageElement).naturalWidth),
    );
  await expect.poll(widths).toEqual([320]);
  await page.getByRole('button', { name: en['settings.noPicture'] }).click();
  await page.getByRole('button', { name: en['settings.noPicture'] }).waitFor({ state: 'detached' });
  await tom.page.reload();
  await tom.page.getByRole('heading', { name: 'Lena the Great' }).waitFor();
  await expect.poll(widths).toEqual([]);
});

it('ends the other page when somebody signs out everywhere else', async () => {
  const lena = await world.person('lena');
  const other = await world.signedIn(lena.account);
  other.watch.forgive(/status of 401/);
  await lena.page.goto('/settings/devices');
  const list = lena.page.getByRole('list', { name: en['settings.devices'] });
  await expect.poll(() => list.getByRole('listitem').count()).toBe(3); // the account was made by a call of the API
  await list.getByText(en['settings.thisOne'], { exact: true }).waitFor();
  await lena.page.getByRole('button', { name: en['settings.endAll'] }).click();
  const ended = await told(lena, text('settings.ended', { n: 2 }));
  await lena.page
    .getByRole('dialog', { name: en['settings.endAllTitle'] })
    .getByRole('button', { name: en['settings.endAll'] })
    .click();
  await ended();
  await other.page.getByText(en['login.ended']).waitFor();
  await other.page.reload();
  await other.page.getByLabel(en['login.username']).waitFor();
  await expect.poll(() => list.getByRole('listitem').count()).toBe(1);
  await lena.page.reload();
  await list.getByText(en['settings.thisOne'], { exact: true }).waitFor();
});

it('finds a member of a larger group by a part of the name', async () => {
  const lena = await world.person('lena');
  const names = Array.from({ length: 21 }, (_, i) => `guest${String.fromCharCode(97 + i)}`);
  const guests = await Promise.all([...names, 'zora'].map((name) => world.account(name)));
  const id = await lena.account.group('Many', guests);
  await lena.page.goto(`/chat/${id}/info`);
  const details = new Details(lena.page);
  await expect.poll(() => details.members.count()).toBe(23);
  const field = details.pane.getByRole('searchbox', { name: en['group.find'] });
  await field.fill('zor');
  await expect.poll(() => details.members.count()).toBe(1);
  await details.member('Zora').waitFor();
  await field.fill('nobody at all');
  await details.pane.getByText(en['group.nobody']).waitFor();
  await field.press('Escape');
  await expect.poll(() => details.members.count()).toBe(23);
});
