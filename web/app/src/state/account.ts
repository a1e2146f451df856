import type { Login } from '@parley/sdk';
import { shallowRef } from 'vue';
import { client } from './client';
import { onUserChange } from './session';

// The account itself: profile, where one is signed in.

export const logins = shallowRef<readonly Login[] | null>(null);
onUserChange(() => (logins.value = null));

export async function loadLogins(): Promise<void> {
  logins.value = await client.auth.logins();
}

export async function endLogin(id: number): Promise<void> {
  await client.auth.endLogin(id);
  await loadLogins();
}

export async function endOtherLogins(): Promise<number> {
  const count = await client.auth.endOtherLogins();
  await loadLogins();
  return count;
}

/** @param picture square, at most 1 MiB; null takes it away */
export async function setPicture(picture: Blob | null): Promise<void> {
  if (!picture) await client.users.update({ clear_avatar: true });
  else await client.users.update({ avatar_url: await uploadPicture(picture) });
}

export async function uploadPicture(picture: Blob): Promise<string> {
  return (await client.files.upload(picture, { filename: 'picture', kind: 'image' })).object_key;
}

export async function setName(name: string): Promise<void> {
  await client.users.update({ display_name: name });
}
