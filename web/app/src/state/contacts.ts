import type { BlockedUser, Contact, ContactRequest, UserBrief } from '@parley/sdk';
import { computed, ref, shallowRef, watch } from 'vue';
import { reader } from '../lib/reader';
import { badges } from './badges';
import { client } from './client';
import { remember, setRemark as keepRemark } from './people';
import { onUserChange, ready } from './session';

// The people of the user: contacts, requests in both directions, blocks. Read once a sign-in, then kept up by pushes: each
// tells that something changed, and the list it concerns is read again, since a push does not hold all of a row.

export const contacts = shallowRef<readonly Contact[]>([]);
export const incoming = shallowRef<readonly ContactRequest[]>([]);
export const outgoing = shallowRef<readonly ContactRequest[]>([]);
export const blocks = shallowRef<readonly BlockedUser[]>([]);
/** False until the contacts have come for the first time. */
export const contactsLoaded = ref(false);
export const contactsProblem = shallowRef<unknown>(null);

const byId = computed(() => new Map(contacts.value.map((it) => [it.id, it])));
const blockedIds = computed(() => new Set(blocks.value.map((it) => it.id)));

export const contactOf = (id: number): Contact | undefined => byId.value.get(id);
export const isBlocked = (id: number): boolean => blockedIds.value.has(id);
/** The name that this user gave somebody, or else their own. */
export const nameOf = (user: UserBrief): string => byId.value.get(user.id)?.remark || user.display_name;
export const contactName = (contact: Contact): string => contact.remark || contact.display_name;

export const loadContacts = reader(async () => {
  try {
    contacts.value = await client.contacts.list();
    contactsLoaded.value = true;
    contactsProblem.value = null;
  } catch (error) {
    contactsProblem.value = error;
  }
});
export const loadIncoming = reader(async () => {
  incoming.value = (await client.contacts.requests('incoming', 'pending', { limit: 200 })).data;
});
export const loadOutgoing = reader(async () => {
  outgoing.value = (await client.contacts.requests('outgoing', 'all', { limit: 200 })).data;
});
export const loadBlocks = reader(async () => {
  blocks.value = await client.blocks.list();
});

const quietly = (read: () => Promise<void>) => void read().catch(() => {});

function loadAll(): void {
  for (const read of [loadContacts, loadIncoming, loadBlocks]) quietly(read);
}

function forget(): void {
  contacts.value = [];
  incoming.value = [];
  outgoing.value = [];
  blocks.value = [];
  contactsLoaded.value = false;
  contactsProblem.value = null;
}

let wasOnline = false;
onUserChange(() => {
  forget();
  if (client.auth.profile) loadAll();
});
// After a time without a socket pushes are missing.
client.on('state', (state) => {
  if (state.name === 'online' && !wasOnline) loadAll();
  wasOnline = state.name === 'online';
});
client.on('contactRequest', () => quietly(loadIncoming));
client.on('contactUpdate', (update) => {
  quietly(loadContacts);
  if (update.action === 'blocked' || update.action === 'unblocked') quietly(loadBlocks);
  else if (update.action !== 'remark') {
    quietly(loadIncoming);
    if (outgoing.value.length) quietly(loadOutgoing);
  }
});
// Everywhere else names come from state/people.
watch(contacts, (now, before) => {
  for (const it of before) keepRemark(it.id, '');
  for (const it of now) keepRemark(it.id, it.remark);
  remember(...now);
});
watch(incoming, (now) => (badges.contacts = now.length));
watch(ready, (now) => now && client.auth.profile && loadAll(), { immediate: true });

// ---- what the reader can do; each throws what the server says ----

export async function findUsers(text: string, cursor = ''): Promise<{ users: UserBrief[]; next: string }> {
  const page = await client.users.search(text, { cursor, limit: 20 });
  return { users: page.data, next: page.next_cursor };
}

export const findUser = (id: number): Promise<UserBrief> => client.users.find(id);

export async function ask(userId: number, words: string): Promise<'pending' | 'accepted'> {
  const status = await client.contacts.apply(userId, words);
  quietly(status === 'accepted' ? loadContacts : loadOutgoing);
  if (status === 'accepted') quietly(loadIncoming);
  return status;
}

export async function answer(request: ContactRequest, accept: boolean): Promise<void> {
  await client.contacts.answer(request.from.id, accept);
  incoming.value = incoming.value.filter((it) => it.from.id !== request.from.id);
  if (accept) await loadContacts();
}

export async function setRemark(userId: number, remark: string): Promise<void> {
  const row = await client.contacts.remark(userId, remark);
  contacts.value = contacts.value.map((it) => (it.id === userId ? row : it));
}

export async function removeContact(userId: number): Promise<void> {
  await client.contacts.remove(userId);
  contacts.value = contacts.value.filter((it) => it.id !== userId);
}

export async function block(userId: number): Promise<void> {
  await client.blocks.add(userId);
  await loadBlocks();
}

export async function unblock(userId: number): Promise<void> {
  await client.blocks.remove(userId);
  blocks.value = blocks.value.filter((it) => it.id !== userId);
}
