// Conversations and their messages: everything that comes in goes through one queue into the store, and from the store, in order and
// once, to whoever listens. Pushes, answers to sync, history, one's own sends and what other tabs have stored all take this way.
import { toApiError } from './errors.js';
import type { Session } from './session.js';
import type { Store, Tx } from './store.js';
import { sleep } from './timing.js';
import type { ClientEvents, Message } from './types.js';
import {
  apply,
  hasGap,
  putRow,
  newRow,
  mergeBrief,
  type Applied,
  type Batch,
  type ConversationRow,
} from './rows.js';
import type { ConversationBrief } from './wire.js';

export interface ChatsHost {
  emit<K extends keyof ClientEvents>(event: K, value: ClientEvents[K]): void;
  /** This conversation lacks messages or changes; soon: what lacks may be on its way. */
  lacking(id: number, soon: boolean): void;
  /** Something came for a conversation that nobody knows. */
  stranger(id: number, batch: Batch): void;
  /** Nothing is missing up to the top of this row. */
  advanced(row: ConversationRow): void;
  /** Those are stored as messages now. */
  settled(row: ConversationRow, names: string[]): void;
}

export type RowsNote = { kind: 'rows'; ids: number[]; changed: Message[] };

export class Chats {
  readonly rows = new Map<number, ConversationRow>();
  private told = new Map<number, number>();
  private queue = new Map<number, Batch>();
  private draining = false;
  private sorted: ConversationBrief[] | null = null;
  private emitting = false;
  /** Counts sign-ins: what belongs to an earlier one is dropped. */
  private epoch = 0;

  constructor(
    private store: Store,
    private session: Session,
    private owner: object,
    private host: ChatsHost,
  ) {}

  /** Takes over what the store has. */
  async load(): Promise<void> {
    const epoch = ++this.epoch;
    const rows = await this.store.read((tx) => tx.all<ConversationRow>('conversations'));
    if (epoch !== this.epoch) return;
    for (const row of rows) {
      this.rows.set(row.id, row);
      this.told.set(row.id, row.top);
    }
    this.listChanged();
  }

  /** Nobody is signed in any more. */
  reset(): void {
    this.epoch++;
    for (const map of [this.rows, this.told]) map.clear();
    for (const batch of this.queue.values()) for (const done of batch.done) done();
    this.queue.clear();
    this.listChanged();
  }

  get list(): readonly ConversationBrief[] {
    this.sorted ??= [...this.rows.values()]
      .map((row) => row.brief)
      .sort(
        (a, b) => Number(b.pinned) - Number(a.pinned) || b.updated_at_ms - a.updated_at_ms || b.id - a.id,
      );
    return this.sorted;
  }

  /** The last seq that listeners know of. */
  toldOf(id: number): number {
    return this.told.get(id) ?? this.rows.get(id)?.first ?? 0;
  }

  /** Queues what came in; the answer is when it is in the store and told. */
  add(id: number, part: Partial<Batch>): Promise<void> {
    const batch = this.queue.get(id) ?? { messages: [], recalls: [], settled: [], done: [] };
    this.queue.set(id, batch);
    batch.messages.push(...(part.messages ?? []));
    batch.recalls.push(...(part.recalls ?? []));
    batch.settled.push(...(part.settled ?? []));
    if (part.jump) batch.jump = true;
    const done = new Promise<void>((resolve) => batch.done.push(resolve));
    if (!this.draining) {
      this.draining = true;
      void this.drain();
    }
    return done;
  }

  /** What another client of this store has written. */
  heard(note: RowsNote): void {
    for (const id of note.ids) void this.add(id, {});
    const known = note.changed.filter((m) => m.seq <= this.toldOf(m.conversation_id));
    for (const m of known) this.host.emit('changed', { conversation_id: m.conversation_id, messages: [m] });
  }

  /** Takes a conversation as the server has it now. */
  async take(brief: ConversationBrief): Promise<ConversationBrief> {
    const login = this.session.row?.login;
    const row = await this.store.write(async (tx) =>
      (await this.session.holds(tx, login)) ? takeBrief(tx, brief, brief.read_seq) : undefined,
    );
    if (!row) return brief;
    this.put(row);
    this.post([row.id]);
    return row.brief;
  }

  /** Changes a row, if there is one. */
  async change(id: number, fn: (row: ConversationRow) => void): Promise<void> {
    const row = await this.store.write(async (tx) => {
      const found = await tx.get<ConversationRow>('conversations', id);
      if (!found) return undefined;
      fn(found);
      putRow(tx, found);
      return found;
    });
    if (!row) return;
    this.put(row);
    this.post([id]);
  }

  /** Several rows at once, after a look at the server's list. */
  putAll(rows: ConversationRow[]): void {
    for (const row of rows) this.put(row);
    this.post(rows.map((row) => row.id));
  }

  /** The user is no member any more. */
  async drop(id: number): Promise<void> {
    await this.store.write(async (tx) => {
      tx.delete('conversations', id);
      tx.dropMessages(id, 0, Infinity);
    });
    this.forget(id);
    this.post([id]);
  }

  private forget(id: number): void {
    for (const map of [this.rows, this.told]) map.delete(id);
    this.listChanged();
  }

  private put(row: ConversationRow): void {
    if (!this.session.row) return;
    if (!this.told.has(row.id)) this.told.set(row.id, row.first);
    this.keep(row);
    if (lacks(row)) this.host.lacking(row.id, false);
    this.listChanged();
  }

  /** What two transactions answer may come in the other order. */
  private keep(row: ConversationRow): void {
    if ((this.rows.get(row.id)?.version ?? 0) <= row.version) this.rows.set(row.id, row);
  }

  private post(ids: number[], changed: Message[] = []): void {
    if (ids.length) this.store.post({ kind: 'rows', ids, changed } satisfies RowsNote, this.owner);
  }

  private async drain(): Promise<void> {
    while (this.queue.size) {
      const epoch = this.epoch;
      const work = [...this.queue];
      this.queue = new Map();
      try {
        const me = this.session.userId;
        const applied = await this.store.write(async (tx) => {
          const all: (Applied | undefined)[] = [];
          for (const [id, batch] of work)
            all.push(await apply(tx, id, batch, this.told.get(id), this.store.keep, me));
          return all;
        });
        if (epoch === this.epoch) work.forEach(([id, batch], i) => this.applied(id, batch, applied[i]));
      } catch (e) {
        // nothing of it is stored or told: sync brings it again
        this.host.emit('error', toApiError(e));
        await sleep(1000);
        for (const [id] of work) this.host.lacking(id, true);
      }
      for (const [, batch] of work) for (const done of batch.done) done();
    }
    this.draining = false;
  }

  private applied(id: number, batch: Batch, result: Applied | undefined): void {
    if (!result) {
      if (batch.messages.length || batch.recalls.length) return this.host.stranger(id, batch);
      return this.forget(id);
    }
    const { row, changed, fresh, wrote } = result;
    const told = this.toldOf(id);
    this.keep(row);
    this.told.set(id, Math.max(told, row.top));
    this.host.settled(row, batch.settled);
    const known = changed.filter((m) => m.seq <= told);
    if (known.length) this.host.emit('changed', { conversation_id: id, messages: known });
    if (!fresh) this.host.emit('reset', { conversation_id: id });
    else if (fresh.length) this.host.emit('messages', { conversation_id: id, messages: fresh });
    if (lacks(row)) this.host.lacking(id, true);
    this.host.advanced(row);
    if (wrote) this.post([id], changed);
    this.listChanged();
  }

  private listChanged(): void {
    this.sorted = null;
    if (this.emitting) return;
    this.emitting = true;
    queueMicrotask(() => {
      this.emitting = false;
      this.host.emit('conversations', this.list as ConversationBrief[]);
    });
  }
}

/** The server has messages or changes of this conversation that are not here. */
export function lacks(row: ConversationRow): boolean {
  return row.brief.latest_seq > row.top || row.brief.latest_change > row.change || hasGap(row);
}

/** In a transaction: a new row that begins after top, or what is known and what is told together. */
export async function takeBrief(tx: Tx, brief: ConversationBrief, top: number): Promise<ConversationRow> {
  const known = await tx.get<ConversationRow>('conversations', brief.id);
  const row = known ? { ...known, brief: mergeBrief(known.brief, brief) } : newRow(brief, top);
  putRow(tx, row);
  return row;
}
