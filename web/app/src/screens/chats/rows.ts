import type { Member, Message, OutboxEntry } from '@parley/sdk';
import { dayName } from '../../i18n';
import { follows, startsDay, type Grouped } from '../../lib/grouping';
import { nowByDay } from '../../lib/now';

// Messages as the rows of the list: row n is seq n + 1, what is on its way comes below.
export interface Row {
  key: string;
  /** Place in the list. */
  at: number;
  seq: number;
  message?: Message;
  entry?: OutboxEntry;
  own: boolean;
  /** Goes on with what the row above began. */
  follows: boolean;
  /** The row below goes on with this one. */
  followed: boolean;
  /** The day that begins here, or ''. */
  day: string;
  /** The line "new messages" stands above. */
  unread: boolean;
  /** How many have read it; only of own messages. */
  readers: number;
}

export interface RowSource {
  messages: readonly Message[];
  pending: readonly OutboxEntry[];
  /** How many seqs the conversation has. */
  latest: number;
  me: number;
  /** Seq of the first unread message as it was when the reader came; 0: none. */
  unreadFrom: number;
  /** How far the others have read, rising. */
  positions: readonly number[];
}

const grouped = (it: Message): Grouped & { alone: boolean } => ({
  sender_id: it.sender_id,
  created_at_ms: it.created_at_ms,
  alone: it.status === 'recalled' || !!it.body.call,
});
const groupedEntry = (it: OutboxEntry, me: number): Grouped => ({
  sender_id: me,
  created_at_ms: it.created_at_ms,
});

/** How many of the rising numbers are at least n. */
export function atLeast(rising: readonly number[], n: number): number {
  let low = 0;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle]! < n) low = middle + 1;
    else high = middle;
  }
  return rising.length - low;
}

export function positionsOf(members: readonly Member[], me: number): number[] {
  return members
    .filter((it) => it.user.id !== me)
    .map((it) => it.read_seq)
    .sort((a, b) => a - b);
}

/** The rows first..last. Rows of seqs that are not loaded have neither message nor entry. */
export function rowsOf(source: RowSource, first: number, last: number, now = nowByDay()): Row[] {
  const { messages, pending, latest, me } = source;
  const base = messages[0]?.seq ?? latest + 1;
  const message = (at: number): Message | undefined => (at < latest ? messages[at + 1 - base] : undefined);
  const facts = (at: number): Grouped | undefined => {
    const stored = message(at);
    if (stored) return grouped(stored);
    const entry = at >= latest ? pending[at - latest] : undefined;
    return entry && groupedEntry(entry, me);
  };
  const next = (at: number, mine: Grouped): boolean => {
    const below = facts(at + 1);
    return !!below && follows(mine, below);
  };
  const rows: Row[] = [];
  for (let at = first; at <= last; at++) {
    const it = message(at);
    const entry = at >= latest ? pending[at - latest] : undefined;
    const mine = facts(at);
    const above = at > 0 ? facts(at - 1) : undefined;
    // Above the first loaded row is something unknown, not nothing: no day mark there, unless it is the first of all.
    const day = !!mine && (at === 0 || !!above) && startsDay(above, mine);
    const unread = !!it && it.seq === source.unreadFrom;
    rows.push({
      key: it
        ? it.sender_id === me
          ? `c${it.client_msg_id}`
          : `s${it.seq}`
        : entry
          ? `c${entry.client_msg_id}`
          : `s${at + 1}`,
      at,
      seq: it?.seq ?? 0,
      ...(it && { message: it }),
      ...(entry && { entry }),
      own: !!mine && mine.sender_id === me,
      follows: !!mine && !unread && follows(above, mine),
      followed: !!mine && next(at, mine) && at + 2 !== source.unreadFrom,
      day: day ? dayName(mine.created_at_ms, now) : '',
      unread,
      readers: it && it.sender_id === me ? atLeast(source.positions, it.seq) : 0,
    });
  }
  return rows;
}
