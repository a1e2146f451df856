import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import type { Account } from './support/account';
import { glimpse } from './support/glimpse';
import type { Person } from './support/person';
import { bomb } from './support/pictures';
import { scene } from './support/scene';
import { text } from './support/text';

// Scripts in what somebody types into the app's own fields, files that would like to be pages, pictures that are none or would
// fill the memory. (script.spec.ts has what others write.) The watch of each page adds that the policy had nothing to refuse.
const world = scene();

/** Each would set a mark of its own. */
const attempts = [
  `<img src=x onerror="window.ran='img'">`,
  `<script>window.ran='script'</script>`,
  `"><svg onload=window.ran='svg'>`,
  `'-window.ran='quote'-'`,
  `{{constructor.constructor("window.ran='vue'")()}}`,
  'javascript:window.ran=`link`',
  `[x](javascript:window.ran='markdown')`,
  `data:text/html,<script>window.ran='data'</script>`,
  `https://127.0.0.1/"onmouseover="window.ran='attribute'`,
];
const short = attempts[0]!;

/** Nothing of it has run in any page, nothing of it is an element or a dangerous link. */
async function harmless(...people: Person[]): Promise<void> {
  for (const { page } of people) {
    const found = await page.evaluate(() => ({
      ran: (window as { ran?: unknown }).ran,
      elements: document.querySelectorAll('img[src="x"], [onerror], [onload], [onmouseover], iframe, object')
        .length,
      scripts: [...document.scripts].filter((it) => !it.src).length,
      links: [...document.links].filter((it) => !/^https?:$/.test(it.protocol)).map((it) => it.href),
    }));
    expect(found).toEqual({ ran: undefined, elements: 0, scripts: 0, links: [] });
  }
}

async function two(): Promise<[Person, Account, number]> {
  const lena = await world.person('lena');
  const mallory = await world.account('mallory');
  await lena.account.befriend(mallory);
  return [lena, mallory, await mallory.chat(lena.account)];
}

it('takes such texts in its own fields', async () => {
  const [lena, mallory] = await two();
  const { page } = lena;
  await page.goto('/settings/profile');
  await page.getByLabel(en['register.displayName']).fill(short);
  const saved = await glimpse(page.locator('body'), en['settings.saved']);
  await page.getByRole('button', { name: en['ui.save'] }).click();
  await saved();
  await page.goto(`/contacts/${mallory.id}`);
  await page.getByRole('button', { name: en['person.editRemark'] }).click();
  const dialog = page.getByRole('dialog', { name: en['person.remark'] });
  await dialog.getByLabel(en['person.remark']).fill(attempts[2]!);
  await dialog.getByRole('button', { name: en['ui.save'] }).click();
  await page.getByRole('heading', { name: attempts[2]!, exact: true }).waitFor();
  await page.getByRole('button', { name: en['person.block'], exact: true }).click();
  await page.getByRole('dialog', { name: text('person.blockTitle', { name: attempts[2]! }) }).waitFor();
  await page.keyboard.press('Escape');
  await page.goto('/contacts/group');
  await page.getByLabel(en['group.title']).fill(attempts[1]!);
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: text('group.createWith', { n: 1 }) }).click();
  await lena.chat.input.waitFor();
  await page.getByRole('heading', { name: attempts[1]! }).first().waitFor();
  await harmless(lena);
  for (const words of attempts) {
    await page.goto('/contacts');
    await page.getByRole('searchbox', { name: en['contacts.filter'] }).fill(words);
    const matching = page.getByRole('list', { name: en['nav.contacts'] });
    await matching.or(page.getByText(en['contacts.noMatch'])).waitFor();
    await page.goto('/contacts/add');
    await page.getByRole('searchbox', { name: en['contacts.find'] }).fill(words.slice(0, 64));
    const found = page.getByRole('list', { name: en['contacts.results'] });
    await found.or(page.getByText(en['contacts.nobody'])).waitFor();
  }
  await harmless(lena);
});

it('opens no file as a page', async () => {
  const [lena, mallory, id] = await two();
  const script = `<script>window.ran='file'; opener && (opener.ran='file')</script>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="window.ran='svg'"><script>window.ran='svg'</script></svg>`;
  const files = [
    { name: `<img src=x onerror="ran='name'">.html`, type: 'text/html', content: `<!doctype html>${script}` },
    { name: 'drawing.svg', type: 'image/svg+xml', content: svg },
    {
      name: 'page.xhtml',
      type: 'application/xhtml+xml',
      content: `<html xmlns="http://www.w3.org/1999/xhtml">${script}</html>`,
    },
    { name: 'no type.bin', type: 'application/octet-stream', content: `<!doctype html>${script}` },
  ];
  await lena.page.goto(`/chat/${id}`);
  await lena.chat.input.waitFor();
  for (const { name, type, content } of files) {
    const link = await sendFile(mallory, id, name, type, Buffer.from(content));
    const row = lena.chat.messages.getByRole('article').filter({ hasText: name });
    await row.waitFor();
    const [download] = await Promise.all([
      lena.page.waitForEvent('download'),
      row.getByTitle(en['chat.save']).click(),
    ]);
    expect(await download.failure()).toBeNull();
    // the link itself, opened as a page: a download again
    const answer = await fetch(`http://${world.node.address}${link}`);
    expect(answer.headers.get('content-disposition')).toMatch(/^attachment/);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('content-security-policy')).toContain('sandbox');
    const tab = await lena.context.newPage();
    const [again] = await Promise.all([
      tab.waitForEvent('download'),
      tab.goto(link).catch(() => undefined), // a download ends the navigation
    ]);
    expect(await again.failure()).toBeNull();
    expect(await tab.evaluate(() => (window as { ran?: unknown }).ran)).toBeUndefined();
    await tab.close();
  }
  await harmless(lena);
});

it('does not take a file for a picture because it says so', async () => {
  const [, mallory, id] = await two();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>');
  await expect(sendFile(mallory, id, 'a.svg', 'image/svg+xml', svg, 'image')).rejects.toThrow(/unsupported/);
  await expect(sendFile(mallory, id, 'a.png', 'image/png', svg, 'image')).rejects.toThrow(/unsupported/);
  for (const type of [`text/html"><script>`, 'image/png\r\nX: y', '<b>/html'])
    await expect(sendFile(mallory, id, 'a', type, svg)).rejects.toThrow(/ 400 /);
});

it('refuses a picture that would fill the memory, in the page and at the node', async () => {
  const [lena, mallory, id] = await two();
  const picture = bomb(30_000);
  await lena.page.goto(`/chat/${id}`);
  await lena.chat.input.waitFor();
  const chooser = lena.page.waitForEvent('filechooser');
  await lena.page.getByRole('button', { name: en['compose.attach'] }).click();
  await (await chooser).setFiles({ name: 'bomb.png', mimeType: 'image/png', buffer: picture });
  await lena.page.getByText(text('compose.tooWide', { name: 'bomb.png', n: 50 })).waitFor();
  expect(await lena.page.getByRole('list', { name: en['compose.files'] }).count()).toBe(0);
  await lena.page.goto('/settings/profile');
  const face = lena.page.waitForEvent('filechooser');
  await lena.page.getByRole('button', { name: en['ui.changePicture'] }).click();
  await (await face).setFiles({ name: 'bomb.png', mimeType: 'image/png', buffer: picture });
  await lena.page.getByText(text('compose.tooWide', { name: 'bomb.png', n: 50 })).waitFor();

  // who goes round the page meets the node
  await expect(sendFile(mallory, id, 'bomb.png', 'image/png', picture, 'image')).rejects.toThrow(
    /too_large|too large/,
  );
  // as a file it is a file: nobody's page decodes it
  await sendFile(mallory, id, 'bomb.bin', 'application/octet-stream', picture);
  await lena.page.goto(`/chat/${id}`);
  await lena.chat.messages.getByRole('article').filter({ hasText: 'bomb.bin' }).waitFor();
  expect(await lena.chat.messages.locator('img').count()).toBe(0);
  await lena.chat.send('still here');
  await lena.chat.text('still here').waitFor();
});

/** Uploads and sends by the API alone; answers the signed path. */
async function sendFile(
  account: Account,
  conversation_id: number,
  filename: string,
  content_type: string,
  content: Buffer,
  kind = 'file',
): Promise<string> {
  const size_bytes = content.length;
  const ticket = await account.api('POST', '/api/files/upload', { filename, content_type, size_bytes, kind });
  const put = await fetch(`http://${world.node.address}${ticket.upload_url}`, {
    method: 'PUT',
    body: new Uint8Array(content),
    headers: { 'Content-Type': content_type },
  });
  if (!put.ok) throw new Error(`PUT: ${put.status} ${await put.text()}`);
  const message = await account.api('POST', `/api/files/complete`, {
    file_id: ticket.file_id,
    conversation_id,
    client_msg_id: `${filename.length}-${content_type}-${Date.now()}`.replace(/\W/g, '-').slice(0, 60),
  });
  const body = (message.message ?? message).body;
  return (body.file ?? body.image).object_key;
}
