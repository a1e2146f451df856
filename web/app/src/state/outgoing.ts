import type { Content, FileOptions, Message } from '@parley/sdk';
import { shallowReactive } from 'vue';
import { client } from './client';
import { onUserChange } from './session';

// What the reader does with messages: send, send again, drop, recall.

/** Pictures that this page sends or has sent, by client_msg_id: they are shown from here and not fetched again. */
const local = shallowReactive(new Map<string, string>());
const most = 200;
/** Texts that were recalled here, for "edit again". */
const recalled = shallowReactive(new Map<number, string>());

export const localPicture = (clientMsgId: string): string | undefined => local.get(clientMsgId);

export const sendText = (conversation: number, text: string, replyTo = 0) =>
  client.messages.send(conversation, text, replyTo ? { replyTo } : {});
export const sendContent = (conversation: number, content: Content) =>
  client.messages.send(conversation, content);

export async function sendFile(conversation: number, file: Blob, options: FileOptions): Promise<void> {
  const entry = await client.messages.sendFile(conversation, file, options);
  // Only what this page could make a small picture of is a picture that it may show.
  if (!options.thumbnail) return;
  const picture = options.kind === 'image' ? file : options.thumbnail;
  local.set(entry.client_msg_id, URL.createObjectURL(picture));
  if (local.size > most) drop(local.keys().next().value!);
}
function drop(name: string): void {
  const url = local.get(name);
  if (url) URL.revokeObjectURL(url);
  local.delete(name);
}

export const retry = (clientMsgId: string, file?: Blob) => client.messages.retry(clientMsgId, file);
export async function discard(clientMsgId: string): Promise<void> {
  await client.messages.discard(clientMsgId);
  drop(clientMsgId);
}

export async function recall(message: Message): Promise<void> {
  const text = message.body.text?.text;
  await client.messages.recall(message);
  if (text) recalled.set(message.id, text);
  if (recalled.size > most) recalled.delete(recalled.keys().next().value!);
}
export const recalledText = (id: number): string | undefined => recalled.get(id);

onUserChange(() => {
  for (const name of [...local.keys()]) drop(name);
  recalled.clear();
});
