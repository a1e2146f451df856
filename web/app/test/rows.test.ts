import type { Message, OutboxEntry } from '@parley/sdk';
import { describe, expect, it } from 'vitest';
import { atLeast, rowsOf, type RowSource } from '../src/screens/chats/rows';

const noon = new Date(2026, 4, 3, 12).getTime();
const me = 1;
function message(seq: number, sender: number, minutes: number, more: Partial<Message> = {}): Message {
  return {
    id: 1000 + seq,
    conversation_id: 5,
    sender_id: sender,
    seq,
    content_type: 1,
    body: { text: { text: `m${seq}` } },
    created_at_ms: noon + minutes * 60_000,
    client_msg_id: `c${seq}`,
    status: 'normal',
    reply_to: 0,
    ...more,
  };
}
const entry = (name: string, minutes: number): OutboxEntry => ({
  client_msg_id: name,
  conversation_id: 5,
  content_type: 1,
  body: { text: { text: name } },
  reply_to: 0,
  created_at_ms: noon + minutes * 60_000,
  state: 'sending',
});
const source = (more: Partial<RowSource>): RowSource => ({
  messages: [],
  pending: [],
  latest: 0,
  me,
  unreadFrom: 0,
  positions: [],
  ...more,
});

describe('the rows of a conversation', () => {
  it('stand where their seq says, and are empty where nothing is loaded', () => {
    const rows = rowsOf(source({ messages: [message(8, 2, 0), message(9, 2, 1)], latest: 10 }), 5, 9, noon);
    expect(rows.map((it) => it.message?.seq)).toEqual([undefined, undefined, 8, 9, undefined]);
    expect(rows.map((it) => it.key)).toEqual(['s6', 's7', 's8', 's9', 's10']);
  });

  it('put what is on its way below, and keep the row when it becomes a message', () => {
    const before = rowsOf(
      source({ messages: [message(1, 2, 0)], pending: [entry('x', 1)], latest: 1 }),
      0,
      1,
      noon,
    );
    expect(before.map((it) => it.key)).toEqual(['s1', 'cx']);
    const stored = message(2, me, 1, { client_msg_id: 'x' });
    const after = rowsOf(source({ messages: [message(1, 2, 0), stored], latest: 2 }), 0, 1, noon);
    expect(after[1]!.key).toBe('cx');
    expect(after[1]!.at).toBe(before[1]!.at);
  });

  it('group what one person said in a row', () => {
    const messages = [
      message(1, 2, 0),
      message(2, 2, 1),
      message(3, 2, 2),
      message(4, 3, 3),
      message(5, me, 3),
    ];
    const rows = rowsOf(source({ messages, latest: 5, pending: [entry('x', 4)] }), 0, 5, noon);
    expect(rows.map((it) => it.follows)).toEqual([false, true, true, false, false, true]);
    expect(rows.map((it) => it.followed)).toEqual([true, true, false, false, true, false]);
    expect(rows.map((it) => it.own)).toEqual([false, false, false, false, true, true]);
  });

  it('mark the days, but not above what is not loaded', () => {
    const messages = [message(3, 2, -24 * 60), message(4, 2, 0)];
    const rows = rowsOf(source({ messages, latest: 4 }), 2, 3, noon);
    expect(rows.map((it) => it.day)).toEqual(['', 'Today']);
    const whole = rowsOf(source({ messages: [message(1, 2, 0)], latest: 1 }), 0, 0, noon);
    expect(whole[0]!.day).toBe('Today');
  });

  it('draw the line of what is unread and break the group there', () => {
    const messages = [message(1, 2, 0), message(2, 2, 0), message(3, 2, 0)];
    const rows = rowsOf(source({ messages, latest: 3, unreadFrom: 2 }), 0, 2, noon);
    expect(rows.map((it) => it.unread)).toEqual([false, true, false]);
    expect(rows.map((it) => it.follows)).toEqual([false, false, true]);
    expect(rows.map((it) => it.followed)).toEqual([false, true, false]);
  });

  it('count who has read what oneself wrote', () => {
    const messages = [message(1, me, 0), message(2, 2, 0), message(3, me, 0)];
    const rows = rowsOf(source({ messages, latest: 3, positions: [0, 2, 3, 3] }), 0, 2, noon);
    expect(rows.map((it) => it.readers)).toEqual([3, 0, 2]);
  });
});

describe('counting in rising numbers', () => {
  it('counts those that are at least n', () => {
    expect([atLeast([], 1), atLeast([1, 2, 2, 5], 2), atLeast([1, 2], 3), atLeast([4], 4)]).toEqual([
      0, 3, 0, 1,
    ]);
  });
});
