import { describe, expect, it } from 'vitest';
import type { Client } from '../src/client.js';
import { Emitter } from '../src/emitter.js';
import { LiveTimeline } from '../src/timeline.js';
import type { ClientEvents, Message, OutboxEntry } from '../src/types.js';

const ME = 7;
const message = (seq: number, sender_id: number, client_msg_id: string) =>
  ({ seq, sender_id, client_msg_id, conversation_id: 1 }) as Message;
const entry = (client_msg_id: string) => ({ client_msg_id, conversation_id: 1 }) as OutboxEntry;

class FakeClient extends Emitter<ClientEvents> {
  waiting: OutboxEntry[] = [];
  auth = { profile: { user: { id: ME } } };
  messages = {
    outbox: () => this.waiting,
    window: async () => ({ messages: [message(1, 9, 'x')], hasMore: false }),
  };
  tell(...messages: Message[]): void {
    this.emit('messages', { conversation_id: 1, messages });
  }
}

describe('a timeline', () => {
  it('shows a message of another tab once, also while that tab has not said that it is sent', async () => {
    const client = new FakeClient();
    client.waiting = [entry('a'), entry('x'), entry('b')];
    const line = new LiveTimeline(client as unknown as Client, 1);
    await line.toEnd();
    // 'x' is the id of somebody else's message, too: ids are unique for each sender only
    expect(line.pending.map((it) => it.client_msg_id)).toEqual(['a', 'x', 'b']);
    client.tell(message(2, ME, 'a'));
    expect(line.messages.map((it) => it.client_msg_id)).toEqual(['x', 'a']);
    expect(line.pending.map((it) => it.client_msg_id)).toEqual(['x', 'b']);
  });
});
