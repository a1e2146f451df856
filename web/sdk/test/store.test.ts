// The contract of a store, for each kind.
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IndexedDbStore, MemoryStore, type Message, type Store } from '../src/index.js';

const message = (seq: number, conversation_id = 7): Message => ({
  id: conversation_id * 1000 + seq,
  conversation_id,
  sender_id: 1,
  seq,
  content_type: 1,
  body: { text: { text: `m${seq}` } },
  created_at_ms: seq,
  client_msg_id: `c${seq}`,
  status: 'normal',
  reply_to: 0,
});

const kinds: Record<string, () => { first: Store; second: Store }> = {
  MemoryStore: () => {
    const store = new MemoryStore();
    return { first: store, second: store };
  },
  IndexedDbStore: () => {
    Object.assign(globalThis, { indexedDB: new IDBFactory(), IDBKeyRange });
    const name = `spec-${Math.random()}`;
    return { first: new IndexedDbStore(name), second: new IndexedDbStore(name) };
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(kind, () => {
    let store: Store;
    let other: Store;

    beforeEach(async () => {
      ({ first: store, second: other } = make());
      await store.open();
      await other.open();
    });

    afterEach(async () => {
      await store.close();
      await other.close();
    });

    it('keeps rows by key, and tells all of them by rising key', async () => {
      await store.write(async (tx) => {
        tx.put('conversations', 10, { n: 10 });
        tx.put('conversations', 9, { n: 9 });
        tx.put('meta', 'a', null);
        tx.delete('conversations', 8);
      });
      expect(await store.read((tx) => tx.get('conversations', 10))).toEqual({ n: 10 });
      expect(await store.read((tx) => tx.get('conversations', 11))).toBeUndefined();
      expect(await store.read((tx) => tx.all('conversations'))).toEqual([{ n: 9 }, { n: 10 }]);
    });

    it('hands out copies: what a program does to a row does not reach the store', async () => {
      const row = { list: [1] };
      await store.write(async (tx) => tx.put('meta', 'k', row));
      row.list.push(2);
      const read = await store.read((tx) => tx.get<{ list: number[] }>('meta', 'k'));
      expect(read).toEqual({ list: [1] });
      read!.list.push(3);
      expect(await store.read((tx) => tx.get('meta', 'k'))).toEqual({ list: [1] });
    });

    it('keeps messages by conversation and seq, rising', async () => {
      await store.write(async (tx) => {
        for (const seq of [5, 1, 3, 2]) tx.putMessage(message(seq));
        tx.putMessage(message(4, 8));
      });
      const seqs = async (from: number, to: number) =>
        (await store.read((tx) => tx.messages(7, from, to))).map((m) => m.seq);
      expect(await seqs(0, Infinity)).toEqual([1, 2, 3, 5]);
      expect(await seqs(2, 4)).toEqual([2, 3]);
      expect(await seqs(6, 9)).toEqual([]);
      expect((await store.read((tx) => tx.messageById(8004)))?.seq).toBe(4);
      await store.write(async (tx) => tx.dropMessages(7, 2, 3));
      expect(await seqs(0, Infinity)).toEqual([1, 5]);
      expect(await store.read((tx) => tx.messageById(7002))).toBeUndefined();
    });

    it('sees its own writes in a transaction', async () => {
      const seen = await store.write(async (tx) => {
        tx.put('meta', 'k', 1);
        tx.putMessage(message(1));
        return [await tx.get('meta', 'k'), (await tx.messages(7, 1, 1)).length];
      });
      expect(seen).toEqual([1, 1]);
    });

    it('undoes everything when the function fails', async () => {
      await store.write(async (tx) => {
        tx.put('meta', 'k', 'before');
        tx.putMessage(message(1));
      });
      const failing = store.write(async (tx) => {
        tx.put('meta', 'k', 'after');
        tx.delete('meta', 'k');
        tx.putMessage(message(2));
        tx.dropMessages(7, 1, 1);
        await tx.get('meta', 'k');
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(await store.read((tx) => tx.get('meta', 'k'))).toBe('before');
      expect((await store.read((tx) => tx.messages(7, 0, 9))).map((m) => m.seq)).toEqual([1]);
    });

    it('does one write at a time among all who share it', async () => {
      const add = (s: Store) =>
        s.write(async (tx) => {
          const n = (await tx.get<number>('meta', 'n')) ?? 0;
          await tx.get('meta', 'other');
          tx.put('meta', 'n', n + 1);
        });
      await Promise.all(Array.from({ length: 40 }, (_, i) => add(i % 2 ? store : other)));
      expect(await store.read((tx) => tx.get('meta', 'n'))).toBe(40);
    });

    it('empties all tables', async () => {
      await store.write(async (tx) => {
        tx.put('meta', 'k', 1);
        tx.put('outbox', 'o', 1);
        tx.putMessage(message(1));
      });
      await store.write(async (tx) => tx.clear());
      expect(await store.read((tx) => tx.all('meta'))).toEqual([]);
      expect(await store.read((tx) => tx.all('outbox'))).toEqual([]);
      expect(await store.read((tx) => tx.messages(7, 0, 9))).toEqual([]);
      expect(await store.read((tx) => tx.messageById(7001))).toBeUndefined();
    });

    it('keeps a file', async () => {
      const file = new Blob(['hello'], { type: 'text/plain' });
      await store.write(async (tx) => tx.put('uploads', 'u', { blob: file }));
      const row = await store.read((tx) => tx.get<{ blob: Blob }>('uploads', 'u'));
      expect(await row!.blob.text()).toBe('hello');
      expect(row!.blob.type).toBe('text/plain');
    });

    it('tells others, never oneself, until they stop listening', async () => {
      const me = {};
      const you = {};
      const mine: unknown[] = [];
      const heard: unknown[] = [];
      const stopMe = store.listen((note) => mine.push(note), me);
      let got: () => void = () => {};
      const stop = other.listen((note) => {
        heard.push(note);
        got();
      }, you);
      const first = new Promise<void>((resolve) => (got = resolve));
      store.post({ a: 1 }, me);
      await first;
      expect(heard).toEqual([{ a: 1 }]);
      stop();
      const again = new Promise<void>((resolve) => {
        const stopAgain = other.listen(() => {
          stopAgain();
          resolve();
        }, you);
      });
      store.post({ a: 2 }, me);
      await again;
      stopMe();
      expect(heard).toEqual([{ a: 1 }]);
      expect(mine).toEqual([]);
    });
  });
}
