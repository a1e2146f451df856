// How messages get into the store: exactly once, in order, whatever comes in which order.
import { describe, expect, it } from 'vitest';
import { MemoryStore, type ConversationBrief, type Message } from '../src/index.js';
import { addRange, apply, hasGap, mergeBrief, newRow, type Batch, type Range } from '../src/rows.js';

const ME = 1;

const message = (seq: number, more: Partial<Message> = {}): Message => ({
  id: 1000 + seq,
  conversation_id: 7,
  sender_id: 2,
  seq,
  content_type: 1,
  body: { text: { text: `m${seq}` } },
  created_at_ms: seq * 1000,
  client_msg_id: `c${seq}`,
  status: 'normal',
  reply_to: 0,
  ...more,
});

const brief = (more: Partial<ConversationBrief> = {}): ConversationBrief =>
  ({
    id: 7,
    type: 1,
    title: 'Tom',
    read_seq: 0,
    latest_seq: 0,
    latest_change: 0,
    unread: 0,
    last_message: null,
    updated_at_ms: 0,
    ...more,
  }) as ConversationBrief;

async function chat(top = 0, keep = 1000) {
  const store = new MemoryStore(keep);
  await store.write(async (tx) => tx.put('conversations', 7, newRow(brief({ latest_seq: top }), top)));
  let told = top;
  return async (part: Partial<Batch>) => {
    const batch: Batch = { messages: [], recalls: [], settled: [], done: [], ...part };
    const result = (await store.write((tx) => apply(tx, 7, batch, told, keep, ME)))!;
    told = Math.max(told, result.row.top);
    return result;
  };
}

const seqs = (messages: Message[] | null) => messages?.map((m) => m.seq);

describe('ranges', () => {
  it('join what touches or overlaps, and stay rising and apart', () => {
    const ranges: Range[] = [];
    for (const r of [
      [5, 6],
      [1, 1],
      [9, 9],
      [3, 3],
    ] as Range[])
      addRange(ranges, r);
    expect(ranges).toEqual([
      [1, 1],
      [3, 3],
      [5, 6],
      [9, 9],
    ]);
    addRange(ranges, [2, 4]);
    expect(ranges).toEqual([
      [1, 6],
      [9, 9],
    ]);
    addRange(ranges, [2, 20]);
    expect(ranges).toEqual([[1, 20]]);
  });

  it('say the same as a set of numbers, for random additions', () => {
    const ranges: Range[] = [];
    const set = new Set<number>();
    for (let i = 0, x = 1; i < 500; i++) {
      x = (x * 48_271) % 2_147_483_647;
      const lo = (x % 300) + 1;
      const hi = lo + (x % 4);
      addRange(ranges, [lo, hi]);
      for (let n = lo; n <= hi; n++) set.add(n);
      const all = ranges.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, k) => a + k));
      expect(all).toEqual([...set].sort((a, b) => a - b));
      for (let k = 1; k < ranges.length; k++) expect(ranges[k]![0]).toBeGreaterThan(ranges[k - 1]![1] + 1);
    }
  });
});

describe('messages that come in', () => {
  it('are told in order, each once, when what lay between them is there', async () => {
    const put = await chat();
    expect(seqs((await put({ messages: [message(1)] })).fresh)).toEqual([1]);
    const gap = await put({ messages: [message(3)] });
    expect(gap.fresh).toEqual([]);
    expect(hasGap(gap.row)).toBe(true);
    expect((await put({ messages: [message(3), message(1)] })).fresh).toEqual([]);
    const closed = await put({ messages: [message(2)] });
    expect(seqs(closed.fresh)).toEqual([2, 3]);
    expect(hasGap(closed.row)).toBe(false);
  });

  it('are told from the place where the conversation began; older ones are only kept', async () => {
    const put = await chat(50);
    expect((await put({ messages: [message(30), message(50)] })).fresh).toEqual([]);
    expect(seqs((await put({ messages: [message(51)] })).fresh)).toEqual([51]);
  });

  it('count as unread until read; an own one is read with all before it', async () => {
    const put = await chat();
    expect((await put({ messages: [message(1), message(2)] })).row.brief).toMatchObject({
      unread: 2,
      latest_seq: 2,
    });
    const own = await put({ messages: [message(3, { sender_id: ME })] });
    expect(own.row.brief).toMatchObject({ unread: 0, read_seq: 3, last_message: { seq: 3 } });
  });

  it('stay recalled whatever comes late', async () => {
    const put = await chat();
    await put({ messages: [message(1), message(2)] });
    const recalled = await put({ recalls: [{ change: 1, seq: 2 }] });
    expect(recalled.changed).toMatchObject([{ seq: 2, status: 'recalled', body: {} }]);
    expect(recalled.row.brief.last_message).toMatchObject({ seq: 2, status: 'recalled' });
    const late = await put({ messages: [message(2)] });
    expect(late.changed).toEqual([]);
    expect((await put({ recalls: [{ change: 1, seq: 2 }] })).wrote).toBe(false);
  });

  it('stay recalled though the recall was here before them', async () => {
    const put = await chat();
    expect((await put({ recalls: [{ change: 1, seq: 1 }] })).row.change).toBe(1);
    expect((await put({ messages: [message(1), message(2)] })).fresh).toMatchObject([
      { seq: 1, status: 'recalled', body: {} },
      { seq: 2, status: 'normal' },
    ]);
  });

  it('count changes one after the other; a hole shows as one that lacks', async () => {
    const put = await chat();
    await put({ messages: [message(1), message(2)] });
    const second = await put({ recalls: [{ change: 2, seq: 1 }] });
    expect(second.changed).toMatchObject([{ seq: 1, status: 'recalled' }]);
    expect(second.row).toMatchObject({ change: 0, brief: { latest_change: 2 } });
    const both = await put({
      recalls: [
        { change: 1, seq: 9 },
        { change: 2, seq: 1 },
      ],
    });
    expect(both.row.change).toBe(2);
  });

  it('of which too many lack are jumped over, and that is told', async () => {
    const put = await chat();
    await put({ messages: [message(1)] });
    const jumped = await put({ messages: [message(900), message(901)], jump: true });
    expect(jumped.fresh).toBeNull();
    expect(jumped.row.top).toBe(901);
    expect(seqs((await put({ messages: [message(902)] })).fresh)).toEqual([902]);
  });

  it('are kept up to a number; the oldest go', async () => {
    const put = await chat(0, 3);
    await put({ messages: [1, 2].map((n) => message(n)) });
    const five = await put({ messages: [3, 4, 5].map((n) => message(n)) });
    expect(seqs(five.fresh)).toEqual([3, 4, 5]);
    expect(five.row.ranges).toEqual([[3, 5]]);
    expect((await put({ messages: [message(1)] })).row.ranges).toEqual([[3, 5]]);
  });
});

describe('a brief of the server', () => {
  it('changes what it says and never takes back what only grows', () => {
    const known = brief({ latest_seq: 9, read_seq: 8, unread: 1, title: 'old' });
    const told = brief({ latest_seq: 7, read_seq: 3, unread: 4, title: 'new' });
    expect(mergeBrief(known, told)).toMatchObject({ latest_seq: 9, read_seq: 8, unread: 1, title: 'new' });
  });
});
