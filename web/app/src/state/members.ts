import type { Member } from '@parley/sdk';
import { onScopeDispose, shallowRef, watch, type Ref } from 'vue';
import { reader } from '../lib/reader';
import { client } from './client';
import { rememberMembers } from './people';
import { myId, onUserChange } from './session';

// The members of the conversations that are on the screen, with how far each has read.
type List = Ref<readonly Member[]>;
interface Entry {
  list: List;
  users: number;
  load: () => Promise<void>;
}
const lists = new Map<number, Entry>();

function entry(id: number): Entry {
  let it = lists.get(id);
  if (!it) {
    const list: List = shallowRef([]);
    const load = reader(async () => {
      const members = await client.groups.members(id);
      rememberMembers(members);
      list.value = withPositions(members, list.value);
    });
    lists.set(id, (it = { list, users: 0, load }));
  }
  return it;
}

/** A position only grows, and the push that told of it may have come before an older answer. */
function withPositions(members: readonly Member[], before: readonly Member[]): readonly Member[] {
  const known = new Map(before.map((it) => [it.user.id, it.read_seq]));
  return members.map((it) => ({ ...it, read_seq: Math.max(it.read_seq, known.get(it.user.id) ?? 0) }));
}

/** Lists that nobody looks at are kept for a quick return, but not all of a long day. */
const keptMost = 20;
function forgetOld(): void {
  for (const [id, it] of lists) {
    if (lists.size <= keptMost) return;
    if (!it.users) lists.delete(id);
  }
}

/** The list as it is from now on; what was known stays if the server cannot be asked. */
export async function loadMembers(id: number): Promise<void> {
  await entry(id)
    .load()
    .catch(() => {});
}

/** Members of the conversation that `id` says, kept up to date while the calling component lives. */
export function useMembers(id: Ref<number>): Ref<readonly Member[]> {
  const shown = shallowRef<readonly Member[]>([]);
  let leave = () => {};
  watch(
    id,
    (now) => {
      leave();
      if (!now) return void (shown.value = []);
      const it = entry(now);
      it.users++;
      void loadMembers(now);
      const stop = watch(it.list, (list) => (shown.value = list), { immediate: true, flush: 'sync' });
      leave = () => {
        stop();
        it.users--;
        forgetOld();
        leave = () => {};
      };
    },
    { immediate: true },
  );
  onScopeDispose(() => leave());
  return shown;
}

/** Has each of these readers at least there. */
function advance(conversation: number, positions: ReadonlyMap<number, number>): void {
  const it = lists.get(conversation);
  if (!it?.list.value.some((one) => (positions.get(one.user.id) ?? 0) > one.read_seq)) return;
  it.list.value = it.list.value.map((one) => {
    const seq = positions.get(one.user.id) ?? 0;
    return seq > one.read_seq ? { ...one, read_seq: seq } : one;
  });
}
client.on('read', ({ conversation_id, user_id, read_seq }) =>
  advance(conversation_id, new Map([[user_id, read_seq]])),
);
// Who writes has read what was before.
client.on('messages', ({ conversation_id, messages }) =>
  advance(conversation_id, new Map(messages.map((it) => [it.sender_id, it.seq]))),
);
client.on('memberUpdate', ({ conversation_id }) => {
  if (lists.get(conversation_id)?.users) void loadMembers(conversation_id);
});
client.on('state', ({ name }) => {
  // What was pushed while the socket was away is not known: look again.
  if (name === 'online') for (const [id, it] of lists) if (it.users) void loadMembers(id);
});
onUserChange(() => lists.clear());

/** Those besides the reader and the sender who have read a message. */
export function readersOf(members: readonly Member[], seq: number, senderId: number): Member[] {
  return members.filter((it) => it.user.id !== senderId && it.user.id !== myId.value && it.read_seq >= seq);
}
