import type { Member, UserBrief } from '@parley/sdk';
import { reactive, shallowReactive } from 'vue';
import { client } from './client';
import { me, onUserChange } from './session';

// Everybody the reader has come across, by id: names and pictures for messages, lists and calls.
// A name is, in this order: one's own remark, the nickname in the group, the name that the user chose.
export interface Person {
  id: number;
  name: string;
  avatar_url: string;
}
const users = shallowReactive(new Map<number, UserBrief>());
const remarks = reactive(new Map<number, string>());
const asked = new Set<number>();

export function remember(...found: readonly UserBrief[]): void {
  for (const it of found) {
    const old = users.get(it.id);
    if (!old || old.display_name !== it.display_name || old.avatar_url !== it.avatar_url)
      users.set(it.id, it);
  }
}

/** One's own names for others; the contact list keeps them up to date. */
export function setRemark(id: number, remark: string): void {
  if (remark) remarks.set(id, remark);
  else remarks.delete(id);
}

/** Who that is; asks the server if nobody has said so yet. The name is '' until it is known. */
export function person(id: number, nickname = ''): Person {
  if (!users.has(id) && id > 0 && id !== me.value?.id) ask(id);
  return { id, name: knownName(id, nickname), avatar_url: known(id)?.avatar_url ?? '' };
}

const known = (id: number): UserBrief | undefined =>
  me.value && id === me.value.id ? me.value : users.get(id);
export const userOf = known;

/** Without asking: '' for strangers. */
export function knownName(id: number, nickname = ''): string {
  return remarks.get(id) || nickname || known(id)?.display_name || '';
}

/** Of those who are in no list (who left a group, say): asked once, one after the other. */
const queue: number[] = [];
let asking = false;
function ask(id: number): void {
  if (asked.has(id)) return;
  asked.add(id);
  queue.push(id);
  if (!asking) void work();
}
async function work(): Promise<void> {
  asking = true;
  // After the lists that come with this turn have said what they know.
  await new Promise((done) => setTimeout(done, 200));
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    if (users.has(id)) continue;
    const who = id;
    try {
      remember(await client.users.find(id));
    } catch {
      setTimeout(() => asked.delete(who), 60_000);
    }
  }
  asking = false;
}

export const rememberMembers = (members: readonly Member[]): void =>
  remember(...members.map((it) => it.user));

onUserChange(() => {
  queue.length = 0;
  users.clear();
  remarks.clear();
  asked.clear();
});
