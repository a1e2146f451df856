// Messages as a program asks for them.
import type { Chats } from './chats.js';
import type { Client } from './client.js';
import type { History } from './history.js';
import type { Outbox } from './outbox.js';
import type { Session } from './session.js';
import type { Messages, Timeline } from './shape.js';
import { LiveTimeline } from './timeline.js';
import type {
  Content,
  FileOptions,
  Message,
  OutboxEntry,
  SendOptions,
  Window,
  WindowOptions,
} from './types.js';

export class MessageBox implements Messages {
  constructor(
    private client: Client,
    private session: Session,
    private chats: Chats,
    private history: History,
    private queue: Outbox,
  ) {}

  timeline(conversation: number): Timeline {
    return new LiveTimeline(this.client, conversation);
  }

  window(conversation: number, options?: WindowOptions): Promise<Window> {
    return this.history.window(conversation, options);
  }

  find(id: number): Promise<Message | undefined> {
    return this.history.find(id);
  }

  search(text: string, options?: { conversation?: number; limit?: number }): Promise<Message[]> {
    return this.history.search(text, options);
  }

  send(conversation: number, content: string | Content, options?: SendOptions): Promise<OutboxEntry> {
    return this.queue.send(conversation, content, options);
  }

  sendFile(conversation: number, file: Blob, options?: FileOptions): Promise<OutboxEntry> {
    return this.queue.sendFile(conversation, file, options);
  }

  outbox(conversation: number): readonly OutboxEntry[] {
    return this.queue.list(conversation);
  }

  retry(clientMsgId: string, file?: Blob): Promise<void> {
    return this.queue.retry(clientMsgId, file);
  }

  discard(clientMsgId: string): Promise<void> {
    return this.queue.discard(clientMsgId);
  }

  async recall(message: Message): Promise<void> {
    const path = `/api/messages/${message.id}/revoke`;
    const { data } = await this.session.call<{ change: number; seq: number }>('POST', path);
    await this.chats.add(message.conversation_id, { recalls: [data] });
  }
}
