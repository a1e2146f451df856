// Where a client keeps what must outlive a socket, a tab or the machine: the session, conversations, messages, what waits to be sent.
//
// A store is five tables and an atomic transaction; everything that has a meaning is written once above it. Two kinds:
// IndexedDbStore (idb.ts) in pages, shared by all tabs of one origin, and MemoryStore here. test/store.test.ts is the contract.
import type { Message } from './types.js';

/** Tables whose rows have one text or number as key. */
export type Table = 'meta' | 'conversations' | 'outbox' | 'uploads';

/**
 * What a transaction can do. It sees its own writes. In an IndexedDbStore it ends as soon as its function waits for anything
 * but these calls, so a function must not: no fetch, no timer.
 */
export interface Tx {
  get<T>(table: Table, key: string | number): Promise<T | undefined>;
  /** All rows, by rising key. */
  all<T>(table: Table): Promise<T[]>;
  put(table: Table, key: string | number, row: unknown): void;
  delete(table: Table, key: string | number): void;
  /** The messages that are there with from <= seq <= to, rising. */
  messages(conversation: number, from: number, to: number): Promise<Message[]>;
  messageById(id: number): Promise<Message | undefined>;
  putMessage(message: Message): void;
  /** Forgets those with from <= seq <= to. */
  dropMessages(conversation: number, from: number, to: number): void;
  /** Empties all tables. */
  clear(): void;
}

export interface Store {
  /** How many messages of one conversation are kept; the oldest go first. */
  readonly keep: number;
  /** Makes it ready; to be called before anything else, may be called again. */
  open(): Promise<void>;
  /** Reads only; several may run at a time. */
  read<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** All of its writes happen or none; one at a time among all who share the store. An error of fn undoes it and is thrown. */
  write<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** Tells all others who share the store, never oneself. The note must be plain data. */
  post(note: unknown, from: object): void;
  /** Hears what others post. The answer ends it. */
  listen(fn: (note: unknown) => void, self: object): () => void;
  close(): Promise<void>;
}

type Undo = () => void;

/** A store in memory. Several clients of one process may share one. */
export class MemoryStore implements Store {
  private tables: Record<Table, Map<string | number, unknown>> = {
    meta: new Map(),
    conversations: new Map(),
    outbox: new Map(),
    uploads: new Map(),
  };
  private conversations = new Map<number, Map<number, Message>>();
  private ids = new Map<number, Message>();
  private tail: Promise<unknown> = Promise.resolve();
  private listeners = new Map<object, Set<(note: unknown) => void>>();

  /** @param keep messages for each conversation; default 2,000 */
  constructor(readonly keep = 2000) {}

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  read<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    return this.write(fn);
  }

  write<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    const done = this.tail.then(async () => {
      const undo: Undo[] = [];
      try {
        return await fn(this.tx(undo));
      } catch (e) {
        for (const step of undo.reverse()) step();
        throw e;
      }
    });
    this.tail = done.catch(() => {});
    return done;
  }

  post(note: unknown, from: object): void {
    for (const [self, fns] of this.listeners) {
      if (self !== from) for (const fn of fns) queueMicrotask(() => fn(structuredClone(note)));
    }
  }

  listen(fn: (note: unknown) => void, self: object): () => void {
    const fns = this.listeners.get(self) ?? new Set();
    this.listeners.set(self, fns.add(fn));
    return () => {
      fns.delete(fn);
      if (!fns.size) this.listeners.delete(self);
    };
  }

  private tx(undo: Undo[]): Tx {
    const set = <K, V>(map: Map<K, V>, key: K, value: V | undefined) => {
      const old = map.get(key);
      undo.push(() => void (old === undefined ? map.delete(key) : map.set(key, old)));
      if (value === undefined) map.delete(key);
      else map.set(key, value);
    };
    const seqs = (conversation: number) => {
      let map = this.conversations.get(conversation);
      if (!map) this.conversations.set(conversation, (map = new Map()));
      return map;
    };
    const within = (conversation: number, from: number, to: number): Message[] => {
      const map = seqs(conversation);
      if (to - from >= map.size) {
        return [...map.values()].filter((m) => m.seq >= from && m.seq <= to).sort((a, b) => a.seq - b.seq);
      }
      const found: Message[] = [];
      for (let seq = from; seq <= to; seq++) if (map.has(seq)) found.push(map.get(seq)!);
      return found;
    };
    return {
      get: async <T>(table: Table, key: string | number) => structuredClone(this.tables[table].get(key)) as T,
      all: async <T>(table: Table) =>
        [...this.tables[table]]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([, row]) => structuredClone(row)) as T[],
      put: (table, key, row) => set(this.tables[table], key, structuredClone(row)),
      delete: (table, key) => set(this.tables[table], key, undefined),
      messages: async (conversation, from, to) => within(conversation, from, to),
      messageById: async (id) => this.ids.get(id),
      putMessage: (m) => {
        set(seqs(m.conversation_id), m.seq, m);
        set(this.ids, m.id, m);
      },
      dropMessages: (conversation, from, to) => {
        for (const m of within(conversation, from, to)) {
          set(seqs(conversation), m.seq, undefined);
          set(this.ids, m.id, undefined);
        }
      },
      clear: () => {
        for (const map of [...Object.values(this.tables), this.ids, ...this.conversations.values()]) {
          for (const key of [...map.keys()]) set(map as Map<unknown, unknown>, key, undefined);
        }
      },
    };
  }
}
