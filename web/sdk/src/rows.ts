// What the store keeps of a conversation, and how messages get in: always in one transaction, so that the messages, the ranges that
// say which are there, and the top below which nothing is missing never disagree.
import type { Tx } from './store.js';
import type { Message } from './types.js';
import type { ConversationBrief, MessageItem, PushMessage } from './wire.js';

/** First and last seq of messages that are all there. */
export type Range = [number, number];

export interface ConversationRow {
  id: number;
  /** Rises with each write, so that nobody takes an older row for a newer one; begins with the time, so that a row made anew is newer. */
  version: number;
  brief: ConversationBrief;
  /** Every message up to here has been told (or was there before the client began): the next to tell is top + 1. */
  top: number;
  /** The top that this row began with. */
  first: number;
  /** The last change counted (recalls). */
  change: number;
  /** Rising, apart. */
  ranges: Range[];
  /** The newest recalls of messages that were not here when they were counted: such a message may still come as it was before. */
  gone: number[];
}

const GONE_MOST = 200;

export interface Recall {
  change: number;
  seq: number;
}

/** What came in for one conversation. */
export interface Batch {
  messages: Message[];
  recalls: Recall[];
  /** Called when it is in the store. */
  done: (() => void)[];
  /** The newest messages were loaded instead of all that are missing: the top goes to their last. */
  jump?: boolean;
  /** Messages of one's own that are settled by this. */
  settled: string[];
}

export interface Applied {
  row: ConversationRow;
  /** Messages that were there and are not what they were. */
  changed: Message[];
  /** The messages above told and up to the top; null: there are holes, since somebody jumped. */
  fresh: Message[] | null;
  /** Something in the store is not what it was: whoever shares it wants to know. */
  wrote: boolean;
}

export function newRow(brief: ConversationBrief, top: number): ConversationRow {
  return {
    id: brief.id,
    version: Date.now(),
    brief,
    top,
    first: top,
    change: brief.latest_change,
    ranges: [],
    gone: [],
  };
}

export function putRow(tx: Tx, row: ConversationRow): void {
  row.version++;
  tx.put('conversations', row.id, row);
}

/** Puts what came in where it belongs. Undefined: there is no such conversation. */
export async function apply(
  tx: Tx,
  id: number,
  batch: Batch,
  told: number | undefined,
  keep: number,
  me: number,
): Promise<Applied | undefined> {
  const row = await tx.get<ConversationRow>('conversations', id);
  if (!row) return undefined;
  const before = JSON.stringify(row);
  const changed = [...(await addMessages(tx, row, batch, me)), ...(await recall(tx, row, batch.recalls))];
  const last = batch.messages[batch.messages.length - 1];
  if (batch.jump && last) row.top = Math.max(row.top, last.seq);
  row.top = Math.max(row.top, endOf(row.ranges, row.top + 1));
  for (const name of batch.settled) tx.delete('outbox', name);
  const from = (told ?? row.first) + 1;
  const fresh = row.top < from ? [] : await tx.messages(id, from, row.top);
  trim(tx, row, keep);
  const moved = JSON.stringify(row) !== before;
  if (moved) putRow(tx, row);
  const whole = row.top < from || fresh.length === row.top - from + 1;
  return { row, changed, fresh: whole ? fresh : null, wrote: moved || changed.length > 0 };
}

async function addMessages(tx: Tx, row: ConversationRow, batch: Batch, me: number): Promise<Message[]> {
  const changed: Message[] = [];
  for (const given of batch.messages) {
    const m = asKnown(row, given);
    const old = covers(row.ranges, m.seq) ? (await tx.messages(row.id, m.seq, m.seq))[0] : undefined;
    // what was recalled stays so, whatever was on its way meanwhile
    if (old && (old.status === 'recalled' || same(old, m))) continue;
    tx.putMessage(m);
    if (old) changed.push(m);
    addRange(row.ranges, [m.seq, m.seq]);
    noteNewest(row.brief, m, me);
  }
  return changed;
}

async function recall(tx: Tx, row: ConversationRow, recalls: Recall[]): Promise<Message[]> {
  const changed: Message[] = [];
  for (const r of recalls) {
    const [old] = await tx.messages(row.id, r.seq, r.seq);
    if (old && old.status !== 'recalled') {
      const m: Message = { ...old, status: 'recalled', body: {} };
      tx.putMessage(m);
      changed.push(m);
    }
    if (!old && !row.gone.includes(r.seq)) row.gone = [...row.gone, r.seq].slice(-GONE_MOST);
    const last = row.brief.last_message;
    if (last?.seq === r.seq) row.brief.last_message = { ...last, status: 'recalled', body: {} };
    if (r.change === row.change + 1) row.change = r.change;
    row.brief.latest_change = Math.max(row.brief.latest_change, r.change);
  }
  return changed;
}

/** A message as it is by all that is known here. */
export function asKnown(row: ConversationRow, m: Message): Message {
  const recalled = m.status !== 'recalled' && row.gone.includes(m.seq);
  return recalled ? { ...m, status: 'recalled', body: {} } : m;
}

const same = (a: Message, b: Message): boolean =>
  a.status === b.status && JSON.stringify(a.body) === JSON.stringify(b.body);

/** A message can be the newest of its conversation; one of one's own is also read. */
function noteNewest(brief: ConversationBrief, m: Message, me: number): void {
  if (m.seq > brief.latest_seq) brief.latest_seq = m.seq;
  if (m.seq >= (brief.last_message?.seq ?? 0)) {
    const seconds = Math.floor(m.created_at_ms / 1000);
    const create_time = { seconds, nanos: (m.created_at_ms - seconds * 1000) * 1_000_000 };
    brief.last_message = { ...m, create_time };
    brief.updated_at_ms = m.created_at_ms;
  }
  readUpTo(brief, m.sender_id === me ? m.seq : 0);
}

/** The read position never goes down nor beyond the end. */
export function readUpTo(brief: ConversationBrief, seq: number): void {
  brief.read_seq = Math.max(brief.read_seq, Math.min(seq, brief.latest_seq));
  brief.unread = brief.latest_seq - brief.read_seq;
}

/** Some of a list answer or a push, and what is known here: what only grows keeps the higher value. */
export function mergeBrief(known: ConversationBrief, told: Partial<ConversationBrief>): ConversationBrief {
  const brief = { ...known, ...told };
  if ((known.last_message?.seq ?? 0) > (brief.last_message?.seq ?? 0)) {
    brief.last_message = known.last_message;
    brief.updated_at_ms = known.updated_at_ms;
  }
  brief.latest_seq = Math.max(known.latest_seq, brief.latest_seq);
  brief.latest_change = Math.max(known.latest_change, brief.latest_change);
  readUpTo(brief, known.read_seq);
  return brief;
}

/** The oldest messages go when there are more than keep. */
function trim(tx: Tx, row: ConversationRow, keep: number): void {
  let over = row.ranges.reduce((n, [lo, hi]) => n + hi - lo + 1, 0) - keep;
  while (over > 0) {
    const range = row.ranges[0]!;
    const hi = Math.min(range[1], range[0] + over - 1);
    tx.dropMessages(row.id, range[0], hi);
    over -= hi - range[0] + 1;
    if (hi === range[1]) row.ranges.shift();
    else range[0] = hi + 1;
  }
}

/** Adds a range; touching ones become one. */
export function addRange(ranges: Range[], [lo, hi]: Range): void {
  let at = 0;
  while (at < ranges.length && ranges[at]![1] < lo - 1) at++;
  let end = at;
  while (end < ranges.length && ranges[end]![0] <= hi + 1) {
    lo = Math.min(lo, ranges[end]![0]);
    hi = Math.max(hi, ranges[end]![1]);
    end++;
  }
  ranges.splice(at, end - at, [lo, hi]);
}

export const rangeOf = (ranges: Range[], seq: number): Range | undefined =>
  ranges.find(([lo, hi]) => lo <= seq && seq <= hi);

const covers = (ranges: Range[], seq: number): boolean => rangeOf(ranges, seq) !== undefined;

/** The last seq of the range that holds this one; 0: none does. */
const endOf = (ranges: Range[], seq: number): number => rangeOf(ranges, seq)?.[1] ?? 0;

/** Something above the top is there, and what lies between is not. */
export const hasGap = (row: ConversationRow): boolean =>
  (row.ranges[row.ranges.length - 1]?.[1] ?? 0) > row.top;

export function fromPush(m: PushMessage): Message {
  return {
    id: m.message_id,
    conversation_id: m.conversation_id,
    sender_id: m.sender_id,
    seq: m.seq,
    content_type: m.content_type,
    body: m.content,
    created_at_ms: m.created_at_ms,
    client_msg_id: m.client_msg_id,
    status: m.status,
    reply_to: m.reply_to,
  };
}

export function fromItem({ create_time: _, ...m }: MessageItem): Message {
  return m;
}
