// A store in IndexedDB, shared by all tabs of an origin. Others hear of changes by a BroadcastChannel.
import type { Store, Table, Tx } from './store.js';
import type { Message } from './types.js';

const VERSION = 1;
const TABLES: Table[] = ['meta', 'conversations', 'outbox', 'uploads'];
const MESSAGES = 'messages';

export class IndexedDbStore implements Store {
  private db: IDBDatabase | null = null;
  private opening: Promise<void> | null = null;
  private channels = new Map<object, { channel: BroadcastChannel; fns: Set<(note: unknown) => void> }>();

  /**
   * @param name of the database; one for each server and account that a page speaks for at a time
   * @param keep messages for each conversation; default 20,000
   */
  constructor(
    readonly name = 'parley',
    readonly keep = 20_000,
  ) {}

  open(): Promise<void> {
    this.opening ??= this.connect().catch((e: unknown) => {
      this.opening = null;
      throw e;
    });
    return this.opening;
  }

  async close(): Promise<void> {
    this.db?.close();
    this.db = null;
    this.opening = null;
  }

  read<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    return this.run('readonly', fn);
  }

  write<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    return this.run('readwrite', fn);
  }

  post(note: unknown, from: object): void {
    this.channels.get(from)?.channel.postMessage(note);
  }

  listen(fn: (note: unknown) => void, self: object): () => void {
    let own = this.channels.get(self);
    if (!own) {
      const channel = new BroadcastChannel(this.name);
      own = { channel, fns: new Set() };
      const fns = own.fns;
      channel.onmessage = (event) => {
        for (const heard of fns) heard(event.data);
      };
      // in Node an open channel would keep the process alive
      (channel as { unref?: () => void }).unref?.();
      this.channels.set(self, own);
    }
    const { channel, fns } = own;
    fns.add(fn);
    return () => {
      fns.delete(fn);
      if (fns.size) return;
      channel.close();
      this.channels.delete(self);
    };
  }

  private async connect(): Promise<void> {
    const request = indexedDB.open(this.name, VERSION);
    request.onupgradeneeded = () => {
      for (const table of TABLES) request.result.createObjectStore(table);
      request.result
        .createObjectStore(MESSAGES, { keyPath: ['conversation_id', 'seq'] })
        .createIndex('id', 'id');
    };
    this.db = await answer(request);
    // a newer version of the page, or somebody who deletes it, must not wait for us
    this.db.onversionchange = () => void this.close();
    // a browser may end it by itself: the next transaction opens it again
    this.db.onclose = () => void this.close();
  }

  private async begin(mode: IDBTransactionMode): Promise<IDBTransaction> {
    const tables = [...TABLES, MESSAGES];
    await this.open();
    try {
      return this.db!.transaction(tables, mode);
    } catch {
      // it has been closed without a word
      await this.close();
      await this.open();
      return this.db!.transaction(tables, mode);
    }
  }

  private async run<T>(mode: IDBTransactionMode, fn: (tx: Tx) => Promise<T>): Promise<T> {
    const transaction = await this.begin(mode);
    const ended = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was undone'));
    });
    try {
      const result = await fn(new IdbTx(transaction));
      await ended;
      return result;
    } catch (e) {
      ended.catch(() => {});
      try {
        transaction.abort();
      } catch {
        // it has ended by itself
      }
      throw e;
    }
  }
}

class IdbTx implements Tx {
  constructor(private transaction: IDBTransaction) {}

  get<T>(table: Table, key: string | number): Promise<T | undefined> {
    return answer<T | undefined>(this.of(table).get(key));
  }

  all<T>(table: Table): Promise<T[]> {
    return answer<T[]>(this.of(table).getAll());
  }

  put(table: Table, key: string | number, row: unknown): void {
    this.of(table).put(row, key);
  }

  delete(table: Table, key: string | number): void {
    this.of(table).delete(key);
  }

  messages(conversation: number, from: number, to: number): Promise<Message[]> {
    return answer<Message[]>(this.of(MESSAGES).getAll(span(conversation, from, to)));
  }

  messageById(id: number): Promise<Message | undefined> {
    return answer<Message | undefined>(this.of(MESSAGES).index('id').get(id));
  }

  putMessage(message: Message): void {
    this.of(MESSAGES).put(message);
  }

  dropMessages(conversation: number, from: number, to: number): void {
    this.of(MESSAGES).delete(span(conversation, from, to));
  }

  clear(): void {
    for (const table of [...TABLES, MESSAGES]) this.of(table).clear();
  }

  private of(table: string): IDBObjectStore {
    return this.transaction.objectStore(table);
  }
}

const span = (conversation: number, from: number, to: number) =>
  IDBKeyRange.bound([conversation, from], [conversation, to]);

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
