import { expect, it } from 'vitest';
import type { Account } from './support/account';
import type { Person } from './support/person';
import { scene } from './support/scene';
import { settled } from './support/settled';

// Scripts in every text that people write or an address carries: shown as the text they are. That the policy would stop them is not
// enough: a refusal of the policy is an error in the console, and fails these specs too.
const world = scene();

const attempts = [
  `<img src=x onerror=hit(1)>`,
  `"><svg onload=hit(2)>`,
  `<script>hit(3)</script>`,
  `javascript:hit(4)`,
  `{{constructor.constructor('hit(5)')()}}`,
  `' onmouseover='hit(6)' x='`,
  `<a href="javascript:hit(7)">click</a>`,
  `https://example.org/"onclick="hit(8)`,
];
/** All of them in a text with a limit. */
const all = (most: number) => attempts.join(' ').slice(0, most);

async function send(
  from: Account,
  conversation: number,
  file: { name: string; type: string; bytes: string },
): Promise<void> {
  const body = { filename: file.name, content_type: file.type, size_bytes: file.bytes.length, kind: 'file' };
  const ticket = await from.api('POST', '/api/files/upload', body);
  const put = await fetch(`http://${world.node.address}${ticket.upload_url}`, {
    method: 'PUT',
    headers: { 'Content-Type': file.type },
    body: file.bytes,
  });
  expect(put.status).toBe(204);
  const client_msg_id = `f-${file.name.length}-${Date.now()}`;
  await from.api('POST', '/api/files/complete', {
    conversation_id: conversation,
    client_msg_id,
    file_id: ticket.file_id,
  });
}

/** What of the attempts became more than text in the page: elements, handlers, addresses. */
async function became(person: Person): Promise<unknown[]> {
  return person.page.evaluate(() => {
    const found = [...((window as any).hits as unknown[])];
    for (const element of document.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        const runs =
          /^(href|src|action|formaction|xlink:href|srcdoc)$/.test(name) &&
          /^\s*(javascript|data:text)/i.test(value);
        if (name.startsWith('on') || runs) found.push(`${element.tagName} ${name}=${value}`);
      }
      if (element.tagName === 'SCRIPT' && !(element as HTMLScriptElement).src) found.push('an inline script');
    }
    return found;
  });
}

async function watched(account?: Account): Promise<Person> {
  const person = await world.visitor({}, '/swagger');
  await person.context.addInitScript(() => {
    const hits: number[] = [];
    Object.assign(window, { hits, hit: (n: number) => hits.push(n) });
  });
  await person.page.goto('/login');
  await person.page.evaluate(() => (window as any).hit(0)); // so one that runs would be seen
  expect(await became(person)).toEqual([0]);
  if (account) await person.signIn(account);
  return person;
}

async function visit(person: Person, paths: string[]): Promise<void> {
  const found: string[] = [];
  for (const path of paths) {
    await person.page.goto(path);
    await settled(person.page);
    found.push(...(await became(person)).map((what) => `${path}: ${what}`));
  }
  expect(found).toEqual([]);
}

it('are text wherever somebody else has written them', async () => {
  const [lena, tom, mia] = await Promise.all(['lena', 'tom', 'mia'].map((name) => world.account(name)));
  await tom!.api('PUT', '/api/users/me', { display_name: all(64) });
  await mia!.api('PUT', '/api/users/me', { display_name: attempts[0] });
  await lena!.befriend(tom!);
  await lena!.api('PUT', `/api/contacts/${tom!.id}/remark`, { remark: all(64) });
  await mia!.api('POST', '/api/contacts/apply', { target_user_id: lena!.id, remark: all(255) });
  const chat = await lena!.chat(tom!);
  for (const attempt of attempts) await tom!.say(chat, attempt);
  for (const attempt of attempts.slice(0, 3)) {
    await send(tom!, chat, {
      name: `${attempt.replaceAll('/', '')}.html`,
      type: 'text/html',
      bytes: '<script>hit(9)</script>',
    });
  }
  await send(tom!, chat, {
    name: `${attempts[1]}.svg`,
    type: 'image/svg+xml',
    bytes: '<svg xmlns="http://www.w3.org/2000/svg" onload="hit(10)"/>',
  });
  const group = await tom!.group(all(64), [lena!, mia!]);
  await tom!.api('PUT', `/api/conversations/${group}/announcement`, { text: all(2000) });
  await tom!.api('PUT', `/api/conversations/${group}/nickname`, { nickname: all(64) });
  await mia!.say(group, all(4000));
  const person = await watched(lena);
  await visit(person, [
    '/chat',
    `/chat/${chat}`,
    `/chat/${chat}/info`,
    `/chat/${group}`,
    `/chat/${group}/info`,
    '/contacts',
    '/contacts/requests',
    '/contacts/group',
    `/contacts/${tom!.id}`,
    `/contacts/${mia!.id}`,
  ]);
  await person.page.goto(`/chat/${chat}`);
  for (const attempt of attempts.slice(0, 7)) await person.chat.text(attempt).first().waitFor();
});

it('are text for the one who writes them, too', async () => {
  const [lena, tom] = await Promise.all(['lena', 'tom'].map((name) => world.account(name)));
  const chat = await lena!.chat(tom!);
  const person = await watched(lena);
  await person.page.goto(`/chat/${chat}`);
  await person.chat.input.waitFor();
  for (const attempt of attempts) {
    await person.chat.send(attempt);
    await person.chat.messages.getByText(attempt.slice(0, 12)).first().waitFor();
  }
  expect(await became(person)).toEqual([]);
});

it('do nothing in an address', async () => {
  const account = await world.account('lena');
  const paths = attempts.slice(0, 7).flatMap((attempt) => {
    const text = encodeURIComponent(attempt);
    return [
      `/login?name=${text}`,
      `/chat/1?seq=${text}#${text}`,
      `/contacts/add?q=${text}`,
      `/swagger?x=${text}#${text}`,
    ];
  });
  const stranger = await watched();
  stranger.watch.forgive(/status of 40[034]/);
  await visit(stranger, paths);
  const person = await watched(account);
  person.watch.forgive(/status of 40[034]/);
  await visit(person, paths);
});

it('do nothing as the address of a picture', async () => {
  const [lena, tom, mia] = await Promise.all(['lena', 'tom', 'mia'].map((name) => world.account(name)));
  for (const [one, avatar_url] of [
    [tom!, 'javascript:hit(1)'],
    [mia!, `http://127.0.0.1:9/tells-who-looks.png`],
  ] as const) {
    await one
      .api('PUT', '/api/users/me', { avatar_url })
      .catch((error: Error) => expect(error.message).toMatch(/ 400 /));
    await lena!.befriend(one);
    await lena!.chat(one);
  }
  const person = await watched(lena);
  await visit(person, ['/chat', '/contacts', `/contacts/${tom!.id}`, `/contacts/${mia!.id}`]);
});
