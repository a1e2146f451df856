import type { ConversationBrief, JoinMode, JoinRequest, Member } from '@parley/sdk';
import { shallowReactive } from 'vue';
import { reader } from '../lib/reader';
import { client } from './client';
import { loadMembers } from './members';
import { onUserChange } from './session';

// What one can do in a group, who may do it, and who asks to get in. The group itself stands in state/conversations, its
// members in state/members.

const rank = { member: 0, admin: 1, owner: 2 } as const;
const alive = (group: ConversationBrief) => group.type === 2 && group.status === 'active';

// Rights: the table of the contract's section 13; the server has the last word.
export const mayManage = (group: ConversationBrief): boolean => alive(group) && rank[group.role] > 0;
export const isOwner = (group: ConversationBrief): boolean => alive(group) && group.role === 'owner';
export const outranks = (group: ConversationBrief, member: Member): boolean =>
  mayManage(group) && rank[group.role] > rank[member.role];

// ---- who asks to get in ----

const asking = shallowReactive(new Map<number, readonly JoinRequest[]>());
export const joinRequests = (id: number): readonly JoinRequest[] => asking.get(id) ?? [];

const readers = new Map<number, () => Promise<void>>();
/** For owner and admins; for anybody else there are none. */
export function loadJoinRequests({ id }: ConversationBrief): Promise<void> {
  let load = readers.get(id);
  if (!load) {
    load = reader(async () => {
      const group = client.conversations.get(id);
      const found = group && mayManage(group) ? (await client.groups.requests(id, { limit: 200 })).data : [];
      asking.set(id, found);
    });
    readers.set(id, load);
  }
  return load();
}
client.on('memberUpdate', (update) => {
  const group = client.conversations.get(update.conversation_id);
  if (group && asking.has(group.id)) void loadJoinRequests(group).catch(() => {});
});
onUserChange(() => {
  asking.clear();
  readers.clear();
});

// ---- what the reader can do; each throws what the server says ----

export const createGroup = (title: string, members: number[]): Promise<ConversationBrief> =>
  client.groups.create(title, members);
export const joinGroup = (id: number, words: string): Promise<'joined' | 'pending'> =>
  client.groups.join(id, words);
export const updateGroup = (
  id: number,
  changes: { title?: string; avatar_url?: string; join_mode?: JoinMode },
): Promise<ConversationBrief> => client.groups.update(id, changes);
export const setAnnouncement = (id: number, text: string): Promise<ConversationBrief> =>
  client.groups.announce(id, text);
export const muteAll = (id: number, on: boolean): Promise<ConversationBrief> => client.groups.muteAll(id, on);
export const dissolveGroup = (id: number): Promise<void> => client.groups.dissolve(id);
export const leaveGroup = (id: number): Promise<void> => client.groups.leave(id);

async function thenLook<T>(id: number, done: Promise<T>): Promise<T> {
  const result = await done;
  await loadMembers(id);
  return result;
}
export const setNickname = (id: number, name: string) => thenLook(id, client.groups.nickname(id, name));
export const addMembers = (id: number, users: number[]) => thenLook(id, client.groups.add(id, users));
export const removeMember = (id: number, user: number) => thenLook(id, client.groups.remove(id, user));
export const setRole = (id: number, user: number, role: 'admin' | 'member') =>
  thenLook(id, client.groups.role(id, user, role));
export const transferGroup = (id: number, user: number) => thenLook(id, client.groups.transfer(id, user));
/** @param untilMs unix ms; 0 ends it */
export const muteMember = (id: number, user: number, untilMs: number) =>
  thenLook(id, client.groups.mute(id, user, untilMs));

export async function answerJoin(group: ConversationBrief, request: number, accept: boolean): Promise<void> {
  await client.groups.answer(group.id, request, accept);
  await Promise.all([loadJoinRequests(group), loadMembers(group.id)]);
}
