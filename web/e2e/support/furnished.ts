import type { Account } from './account';
import type { Scene } from './scene';

export interface Furnished {
  lena: Account;
  /** Of every screen that she has. */
  paths: string[];
  /** Of some of them. */
  chat: string;
  group: string;
  person: string;
}

/** Somebody with contacts, requests both ways, a chat, a group that is asked to join, a blocked one. */
export async function furnished(world: Scene): Promise<Furnished> {
  const lena = await world.account('lena');
  const [tom, mia, nora, max, eve] = await Promise.all(
    ['tom', 'mia', 'nora', 'max', 'eve'].map((name) => world.account(name)),
  );
  for (const other of [tom!, mia!, eve!]) await lena.befriend(other);
  await nora!.api('POST', '/api/contacts/apply', { target_user_id: lena.id, remark: 'Hello, I am Nora' });
  await lena.api('POST', '/api/contacts/apply', { target_user_id: max!.id, remark: 'Hello' });
  await lena.api('POST', '/api/blocks', { user_id: eve!.id });
  const chat = await lena.chat(tom!);
  await tom!.sayAll(chat, ['Are you there?', 'See https://example.org/a?b=c', '🎉', 'a taken back one']);
  const last = await tom!.say(chat, 'and this one not');
  await tom!.api('POST', `/api/messages/${last.id}/revoke`);
  await lena.say(chat, 'Yes!');
  const group = await lena.group('Hikers', [tom!, mia!]);
  await lena.api('PUT', `/api/conversations/${group}/announcement`, { text: 'Saturday at eight' });
  await lena.api('PUT', `/api/conversations/${group}/members/${tom!.id}/role`, { role: 'admin' });
  await lena.api('PUT', `/api/conversations/${group}`, { join_mode: 'approval' });
  await nora!.api('POST', `/api/conversations/${group}/join`, { message: 'Please' });
  await mia!.say(group, 'Who comes along?');
  const paths = [
    '/chat',
    `/chat/${chat}`,
    `/chat/${chat}/info`,
    `/chat/${group}`,
    `/chat/${group}/info`,
    '/contacts',
    '/contacts/add',
    '/contacts/requests',
    '/contacts/blocked',
    '/contacts/group',
    `/contacts/${tom!.id}`,
    `/contacts/${max!.id}`,
    '/settings',
    '/settings/profile',
    '/settings/look',
    '/settings/notifications',
    '/settings/devices',
    '/nothing/here',
  ];
  return { lena, paths, chat: `/chat/${chat}`, group: `/chat/${group}`, person: `/contacts/${tom!.id}` };
}
