import type { PresenceItem } from '@parley/sdk';
import { getCurrentScope, onScopeDispose, shallowReactive, watch, type Ref } from 'vue';
import { client } from './client';
import { onUserChange } from './session';

// Who is there. Contacts are followed as long as a screen that shows them is open.
const known = shallowReactive(new Map<number, PresenceItem>());
client.on('presence', (items) => {
  for (const it of items) known.set(it.user_id, it);
});
onUserChange(() => known.clear());

export const presenceOf = (id: number): PresenceItem | undefined => known.get(id);
export const isOnline = (id: number): boolean => known.get(id)?.online ?? false;

const most = 500;

/** Follows these users while the calling component lives. */
export function usePresence(ids: Ref<readonly number[]>): void {
  let stop: () => void = () => {};
  watch(
    () => ids.value.slice(0, most).join(),
    (text) => {
      stop();
      stop = text ? client.presence.watch(text.split(',').map(Number)) : () => {};
    },
    { immediate: true },
  );
  if (getCurrentScope()) onScopeDispose(() => stop());
}

/** The state of any users now, contacts or not. */
export async function fetchPresence(ids: number[]): Promise<void> {
  if (!ids.length) return;
  for (const it of await client.presence.fetch(ids.slice(0, most))) known.set(it.user_id, it);
}
