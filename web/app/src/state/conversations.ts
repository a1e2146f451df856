import type { ConversationBrief } from '@parley/sdk';
import { computed, shallowRef, watchEffect } from 'vue';
import { badges } from './badges';
import { client } from './client';
import { onUserChange } from './session';

// The reader's conversations: pinned first, then the newest.
export const conversations = shallowRef<readonly ConversationBrief[]>([]);
/** False until the list has been compared with the server's once. */
export const listLoaded = shallowRef(false);

function take(): void {
  conversations.value = client.conversations.list;
  listLoaded.value = client.conversations.loaded;
}
client.on('conversations', take);
onUserChange(take);
take();

const byId = computed(() => new Map(conversations.value.map((it) => [it.id, it])));
export const conversation = (id: number): ConversationBrief | undefined => byId.value.get(id);

/** Messages that nobody has read and that are not muted. */
export const unreadCount = computed(() =>
  conversations.value.reduce((sum, it) => sum + (it.muted ? 0 : it.unread), 0),
);
watchEffect(() => (badges.chats = unreadCount.value));

export const setPinned = (id: number, pinned: boolean) => client.conversations.settings(id, { pinned });
export const setMuted = (id: number, muted: boolean) => client.conversations.settings(id, { muted });
export const markRead = (id: number, seq?: number) => client.conversations.read(id, seq);
/** The chat with a user; made if there is none. */
export const openChat = (userId: number) => client.conversations.open(userId);
