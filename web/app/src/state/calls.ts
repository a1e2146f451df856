import type { Call } from '@parley/sdk';
import { computed, shallowRef, triggerRef } from 'vue';
import type { Key } from '../i18n';
import { client } from './client';
import { deviceKey } from './errors';
import { onUserChange } from './session';

// The one call of this page, as something that a screen can follow. An ended call stays for a moment, so that it can say why.

/** Replaced or triggered at each change of the call. */
export const call = shallowRef<Call | null>(null);
/** Whether the call is a small window beside the chat. */
export const minimised = shallowRef(false);
/** Why microphone or camera did not come, '' if nothing was wrong. */
export const deviceProblem = shallowRef<Key | ''>('');
const endedShownMs = 2500;

let leaving: ReturnType<typeof setTimeout> | undefined;

function follow(it: Call): void {
  clearTimeout(leaving);
  call.value = it;
  minimised.value = false;
  deviceProblem.value = '';
  it.on('change', () => {
    if (call.value !== it) return;
    triggerRef(call);
    if (it.state === 'ended') {
      clearTimeout(leaving);
      leaving = setTimeout(() => {
        if (call.value === it) call.value = null;
      }, endedShownMs);
    }
  });
}
client.on('call', follow);
onUserChange(() => {
  clearTimeout(leaving);
  call.value = null;
});

export const inCall = computed(() => !!call.value && call.value.state !== 'ended');

/** Rings somebody. Throws what microphone and camera or the server say. */
export async function startCall(userId: number, type: 'audio' | 'video'): Promise<void> {
  const starting = client.calls.start(userId, { type });
  // There at once: who has pressed the button sees that something happens while the browser asks for the microphone.
  if (client.calls.current) follow(client.calls.current);
  try {
    follow(await starting);
  } catch (error) {
    if (call.value?.state === 'ended') call.value = null;
    throw error;
  }
}

export async function acceptCall(): Promise<void> {
  const it = call.value;
  if (!it) return;
  try {
    await it.accept();
  } catch (error) {
    deviceProblem.value = deviceKey(error);
    if (!deviceProblem.value && it.state !== 'ended') throw error;
  }
}

/** Ends it in every state; what has ended already goes from the screen. */
export function leaveCall(): void {
  const it = call.value;
  if (!it) return;
  if (it.state === 'ended') call.value = null;
  else void it.hangup().catch(() => {});
}
export const rejectCall = (): void => void call.value?.reject().catch(() => {});

const why: Record<string, Key> = {
  busy: 'call.ended.busy',
  decline: 'call.ended.declined',
  unavailable: 'call.ended.unavailable',
  timeout: 'call.ended.timeout',
  cancelled: 'call.ended.cancelled',
  answered_elsewhere: 'call.ended.elsewhere',
  declined_elsewhere: 'call.ended.elsewhere',
  connect_timeout: 'call.ended.noConnection',
  peer_lost: 'call.ended.lost',
  network: 'call.ended.lost',
  media: 'call.ended.media',
  max_duration: 'call.ended.longest',
};
export const endedText = (it: Call): Key => why[it.reason] ?? 'call.ended.over';
