import type { Message } from '@parley/sdk';
import { ref, watch } from 'vue';
import { t } from '../i18n';
import { summary } from '../lib/summary';
import { go } from '../router';
import { client } from './client';
import { conversation, unreadCount } from './conversations';
import { person } from './people';
import { me } from './session';

// Notes of the system about messages that come while nobody looks, and the number in the title. The browser is asked for
// permission only when the reader turns them on.
const stored = 'parley.notify';
const can = 'Notification' in globalThis;
const kept = () => localStorage.getItem(stored);

export const notifySupported = can;
/** What the reader chose; null: they have not been asked yet. */
export const notifyChoice = ref<'on' | 'off' | null>(
  kept() === 'on' || kept() === 'off' ? (kept() as 'on' | 'off') : null,
);
/** What the browser says: 'denied' is for its own settings to change. */
export const notifyPermission = ref<NotificationPermission>(can ? Notification.permission : 'denied');

/** To be called from a click. */
export async function setNotify(on: boolean): Promise<void> {
  if (on && can && Notification.permission === 'default') await Notification.requestPermission();
  notifyPermission.value = can ? Notification.permission : 'denied';
  notifyChoice.value = on && notifyPermission.value !== 'denied' ? 'on' : 'off';
  localStorage.setItem(stored, notifyChoice.value);
}

const away = () => document.visibilityState !== 'visible' || !document.hasFocus();

client.on('messages', ({ conversation_id, messages }) => {
  const latest = messages[messages.length - 1];
  if (!latest || latest.sender_id === me.value?.id || !away()) return;
  if (notifyChoice.value !== 'on' || !can || Notification.permission !== 'granted') return;
  const chat = conversation(conversation_id);
  // What was read elsewhere, what is muted and what came long ago (found after a sleep) is not worth a note of its own.
  if (!chat || chat.muted || latest.seq <= chat.read_seq || Date.now() - latest.created_at_ms > 120_000)
    return;
  show(conversation_id, chat.title, chat.type === 2, latest);
});

function show(id: number, title: string, group: boolean, message: Message): void {
  const name = person(message.sender_id).name || t('chat.somebody');
  const text = summary(message, false, name);
  try {
    // One note for each conversation, also when several tabs would show it.
    const note = new Notification(title || name, {
      body: group ? t('chats.says', { name, text }) : text,
      tag: `parley-${id}`,
      icon: '/favicon.svg',
    });
    note.onclick = () => {
      focus();
      go(`/chat/${id}`);
      note.close();
    };
  } catch {
    // Some phones only allow notes of a service worker.
  }
}

watch(
  [unreadCount, () => t('app.name')],
  ([n, name]) => (document.title = n > 0 ? `(${n > 99 ? '99+' : n}) ${name}` : name),
  { immediate: true },
);
