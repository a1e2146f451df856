// Several clients of one account on one store, as tabs of a browser are; what outlives a client.
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, IndexedDbStore, MemoryStore, type Store } from '../src/index.js';
import { Ear, idOf, person, Socket, TestNode, until } from './node.js';

Object.assign(globalThis, { indexedDB: new IDBFactory(), IDBKeyRange });

const kinds: Record<string, () => () => Store> = {
  MemoryStore: () => {
    const store = new MemoryStore(10_000);
    return () => store;
  },
  IndexedDbStore: () => {
    const name = `tabs-${Math.random()}`;
    return () => new IndexedDbStore(name);
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(`clients that share a ${kind}`, () => {
    let node: TestNode;
    let open: () => Store;
    let first: Client;
    let bob: Client;
    /** Each refresh token with those who have used it. */
    const used = new Map<string, Set<string>>();

    beforeAll(async () => {
      node = await TestNode.start({ 'auth.access_ttl': '22s', 'auth.refresh_grace': '60s' });
      open = make();
      first = await person(node.url, { store: open(), fetch: noting('first') });
      bob = await person(node.url);
    });

    afterAll(async () => {
      await first.close();
      await bob.close();
      await node.finish();
    });

    /** Another tab. */
    async function tab(fetcher = fetch): Promise<Client> {
      const client = new Client({ url: node.url, WebSocket: Socket, store: open(), fetch: fetcher });
      await client.start();
      await until(() => client.state.name === 'online' && client.conversations.loaded);
      return client;
    }

    it('each show every message once and in order, and one outbox', async () => {
      const second = await tab();
      const chat = await bob.conversations.open(idOf(first));
      await until(() => first.conversations.get(chat.id) && second.conversations.get(chat.id));
      const ears = [new Ear(first, chat.id), new Ear(second, chat.id)];
      const texts: string[] = [];
      const all = Array.from({ length: 60 }, (_, i) => {
        const who = [bob, first, second][i % 3]!;
        texts.push(`${i}`);
        return who.messages.send(chat.id, `${i}`);
      });
      await Promise.all(all);
      await until(() => ears.every((ear) => ear.seqs.length >= 60));
      for (const ear of ears) {
        expect(ear.seqs).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
        expect([...ear.texts].sort()).toEqual([...texts].sort());
      }
      await until(() => [first, second].every((c) => c.messages.outbox(chat.id).length === 0));
      await second.close();
    });

    it('tell each other what was read and recalled', async () => {
      const second = await tab();
      const chat = await bob.conversations.open(idOf(first));
      await bob.messages.send(chat.id, 'to be recalled');
      const newest = (c: Client) => c.conversations.get(chat.id)!.last_message!;
      // bob too: the others may have the message before its sender hears that it is stored
      await until(() => [first, second, bob].every((c) => newest(c).body.text?.text === 'to be recalled'));
      const latest = newest(second).seq;
      first.conversations.read(chat.id);
      await until(() => second.conversations.get(chat.id)!.unread === 0);
      const changed = Promise.all(
        [first, second].map(
          (c) =>
            new Promise<void>((resolve) => {
              c.on(
                'changed',
                (e) => e.messages.some((m) => m.seq === latest && m.status === 'recalled') && resolve(),
              );
            }),
        ),
      );
      const { messages } = await bob.messages.window(chat.id, { count: 1 });
      await bob.messages.recall(messages[0]!);
      await changed;
      await second.close();
    });

    function noting(who: string): typeof fetch {
      return (input, init) => {
        if (String(input).endsWith('/api/auth/refresh')) {
          const token = String(init!.body);
          used.set(token, (used.get(token) ?? new Set()).add(who));
        }
        return fetch(input, init);
      };
    }

    it('leave each refresh token to one of them, though all want a new one at the same moment', async () => {
      used.clear();
      const tabs = await Promise.all(['second', 'third', 'fourth'].map((who) => tab(noting(who))));
      const before = await first.auth.token();
      // 22 s of life and 20 s kept in reserve: soon none is fresh, and all want another
      await until(async () => {
        const tokens = await Promise.all(tabs.map((t) => t.auth.token()));
        return used.size > 0 && tokens.every((token) => token !== before);
      });
      // the same one may ask again for an answer that it did not get; of two the server would take one for a thief
      expect([...used.values()].map((who) => who.size)).toEqual([...used].map(() => 1));
      for (const t of tabs) expect((await t.users.me()).user.id).toBe(idOf(first));
      for (const t of tabs) await t.close();
    });

    it('send what a closed one has left', async () => {
      const chat = await bob.conversations.open(idOf(first));
      const ear = new Ear(bob, chat.id);
      const closing = await tab();
      // never gets a socket again, so what it queues stays
      closing['connection'].stop('spec');
      await closing.messages.send(chat.id, 'left behind');
      await until(() => first.messages.outbox(chat.id).length === 1);
      expect(ear.texts).toEqual([]);
      await closing.close();
      await until(() => ear.texts.includes('left behind'));
      await until(() => first.messages.outbox(chat.id).length === 0);
    });

    it('show after a reload what was there, without the network, and what came meanwhile, once', async () => {
      const chat = await bob.conversations.open(idOf(first));
      const reloaded = await tab();
      await reloaded.close();
      await first.close();
      for (const text of ['while away 1', 'while away 2']) await bob.messages.send(chat.id, text);
      await until(() => bob.messages.outbox(chat.id).length === 0);
      let offline = true;
      const patchy: typeof fetch = (input, init) =>
        offline ? Promise.reject(new TypeError('no network')) : fetch(input, init);
      class Patchy extends (Socket as unknown as typeof WebSocket) {
        constructor(url: string, protocols: string[]) {
          super(offline ? 'ws://127.0.0.1:1/' : url, protocols);
        }
      }
      first = new Client({ url: node.url, WebSocket: Patchy as never, store: open(), fetch: patchy });
      const ear = new Ear(first, chat.id);
      await first.start();
      await until(() => first.conversations.get(chat.id));
      const { messages } = await first.messages.window(chat.id, { count: 5 });
      expect(messages.length).toBe(5);
      const last = messages[4]!.seq;
      expect(ear.seqs).toEqual([]);
      offline = false;
      first.connect();
      await until(() => {
        if (first.state.retryAt) first.connect();
        return ear.seqs.length >= 2;
      });
      expect(ear.seqs).toEqual([last + 1, last + 2]);
      expect(ear.texts).toEqual(['while away 1', 'while away 2']);
    });

    it('are all signed out by the logout of one, and nothing of the user stays', async () => {
      const second = await tab();
      const gone = new Promise<void>((resolve) => {
        second.on('profile', (profile) => profile ?? resolve());
      });
      await first.auth.logout();
      await gone;
      expect(second.state).toMatchObject({ name: 'signed-out', reason: 'logout' });
      expect(second.conversations.list).toEqual([]);
      const store = open();
      await store.open();
      expect(await store.read((tx) => tx.all('conversations'))).toEqual([]);
      expect(await store.read((tx) => tx.get('meta', 'session'))).toBeUndefined();
      await expect(second.users.me()).rejects.toMatchObject({ code: 'signed_out' });
      await second.close();
    });
  });
}
