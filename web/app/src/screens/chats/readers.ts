import type { Member, Message } from '@parley/sdk';
import { shallowRef } from 'vue';
import { loadMembers, readersOf } from '../../state/members';

/** Who has read a message of a group, in a dialog of the chat pane. */
export const readersShown = shallowRef<{ message: Message; members: Member[] } | null>(null);

export async function showReaders(message: Message, members: readonly Member[]): Promise<void> {
  readersShown.value = { message, members: readersOf(members, message.seq, message.sender_id) };
  // Large groups push no read positions: what is known may be old.
  await loadMembers(message.conversation_id);
}
