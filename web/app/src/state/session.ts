import type { State, UserBrief } from '@parley/sdk';
import { computed, ref, shallowRef } from 'vue';
import type { Key } from '../i18n';
import { client } from './client';

// Who is signed in, and how this page stands to the server.

/** False until the store has been read: until then nobody knows whether to show the sign-in. */
export const ready = ref(false);
export const me = shallowRef<UserBrief | null>(null);
export const myId = computed(() => me.value?.id ?? 0);
export const connection = shallowRef<State>(client.state);
/** Why the reader sees the sign-in though they had been signed in. */
export const endedBecause = ref<Key | ''>('');

type Hook = (before: number) => void;
const hooks: Hook[] = [];
/** Calls fn with the one before when somebody else is signed in, or nobody: what was theirs must go. */
export function onUserChange(fn: Hook): void {
  hooks.push(fn);
}

export async function boot(): Promise<void> {
  if (ready.value) return;
  client.on('profile', (profile) => {
    const before = me.value?.id;
    me.value = profile?.user ?? null;
    if (before !== undefined && before !== me.value?.id) for (const fn of hooks) fn(before);
  });
  client.on('state', (state) => {
    connection.value = state;
    if (state.name !== 'signed-out') endedBecause.value = '';
    else if (state.reason === 'user_disabled') endedBecause.value = 'error.user_disabled';
    else if (state.reason === 'expired' || state.reason === 'revoked') endedBecause.value = 'login.ended';
  });
  client.on('error', (error) => console.warn('parley:', error.code, error.message));
  await client.start();
  me.value = client.auth.profile?.user ?? null;
  connection.value = client.state;
  ready.value = true;
}

export async function signIn(username: string, password: string): Promise<void> {
  await client.auth.login(username, password);
}

export async function signUp(username: string, password: string, name: string): Promise<void> {
  await client.auth.register({ username, password, ...(name && { display_name: name }) });
}

export async function signOut(): Promise<void> {
  await client.auth.logout();
}

/** Tries now instead of at the planned moment. */
export function reconnect(): void {
  client.connect();
}
