// What happens to claims when their holder is gone, deaf, or only slow: a client that ends without a word, as a closed page does.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, IndexedDbStore, MemoryStore, type SocketClass, type Store } from '../src/index.js';
import { Peers, type PeerNote } from '../src/peers.js';
import { Ear, idOf, person, Socket, TestNode, until } from './node.js';

/** One of those that share a store; what it hears and says can be stopped, as in a page that is frozen or gone. */
class Part implements Store {
  deaf = false;
  readonly keep: number;

  constructor(private whole: MemoryStore) {
    this.keep = whole.keep;
  }

  open = () => this.whole.open();
  close = () => this.whole.close();
  read: Store['read'] = (fn) => this.whole.read(fn);
  write: Store['write'] = (fn) => this.whole.write(fn);
  post = (note: unknown, from: object) => void (this.deaf || this.whole.post(note, from));
  listen = (fn: (note: unknown) => void, self: object) =>
    this.whole.listen((note) => void (this.deaf || fn(note)), self);
}

describe('who asks whether another lives', () => {
  it('takes nobody for dead whose answer it could not hear, since it stood still itself', async () => {
    const store = new IndexedDbStore(`peers-${Math.random()}`);
    const ends: (() => void)[] = [];
    const join = () => {
      const owner = {};
      const peers = new Peers(store, owner);
      ends.push(store.listen((note) => peers.heard(note as PeerNote), owner));
      return peers;
    };
    const [asking, living] = [join(), join()];
    const alive = asking.alive(living.self);
    for (const till = Date.now() + 800; Date.now() < till;);
    expect(await alive).toBe(true);
    expect(await asking.alive('somebody gone')).toBe(false);
    for (const end of ends) end();
  });
});

describe('what a client has claimed', () => {
  let node: TestNode;
  let whole: MemoryStore;
  let ann: Client;
  let bob: Client;
  let chat: number;
  const open: Client[] = [];

  beforeAll(async () => {
    node = await TestNode.start({ 'auth.access_ttl': '22s', 'auth.refresh_grace': '60s' });
    whole = new MemoryStore(10_000);
    ann = await person(node.url, { store: whole });
    bob = await person(node.url);
    chat = (await ann.conversations.open(idOf(bob))).id;
    await until(() => bob.conversations.get(chat));
    // from here on each spec has its own clients of this login
    await ann.close();
  });

  afterAll(async () => {
    for (const client of [...open, bob]) await client.close();
    await node.finish();
  });

  async function tab(store: Store, fetcher = fetch, Class: SocketClass = Socket): Promise<Client> {
    const client = new Client({ url: node.url, WebSocket: Class, store, fetch: fetcher });
    open.push(client);
    await client.start();
    return client;
  }
  const rest = async () => {
    for (const client of open.splice(0)) await client.close();
  };

  /** A fetch whose PUTs wait for a word, and tell how many began. */
  function gated() {
    const gate = { began: 0, go: () => {}, fetch };
    const word = new Promise<void>((resolve) => (gate.go = resolve));
    gate.fetch = async (input, init) => {
      if (init?.method === 'PUT') {
        gate.began++;
        await word;
      }
      return fetch(input, init);
    };
    return gate;
  }
  const file = new Blob([new Uint8Array(5000).fill(7)], { type: 'application/octet-stream' });

  it('is taken over soon when it is gone without a word, and begun again', async () => {
    const gone = new Part(whole);
    const gate = gated();
    const first = await tab(gone, gate.fetch);
    await first.messages.sendFile(chat, file, { filename: 'left.bin' });
    await until(() => gate.began === 1);
    gone.deaf = true;
    const ear = new Ear(bob, chat);
    const began = Date.now();
    const second = gated();
    await tab(new Part(whole), second.fetch);
    await until(() => second.began === 1);
    // half a second to answer; a claim that has to run out would take 15
    expect(Date.now() - began).toBeLessThan(14_000);
    second.go();
    await until(() => ear.seqs.length === 1);

    // the first one was only frozen: what it has in hand ends, and it does nothing more
    gone.deaf = false;
    gate.go();
    await until(() => first.messages.outbox(chat).length === 0);
    await until(async () => (await whole.read((tx) => tx.all('uploads'))).length === 0);
    const { messages } = await bob.messages.window(chat);
    expect(messages.map((m) => m.body.file?.filename)).toEqual(['left.bin']);
    await rest();
  });

  it('stays with one that answers, however long it takes', async () => {
    const gate = gated();
    const first = await tab(new Part(whole), gate.fetch);
    await first.messages.sendFile(chat, file, { filename: 'slow.bin' });
    await until(() => gate.began === 1);
    const other = gated();
    const second = await tab(new Part(whole), other.fetch);
    await until(() => second.messages.outbox(chat).length === 1);
    for (let i = 0; i < 3; i++) await second['outbox'].takeOver();
    expect(other.began).toBe(0);
    const ear = new Ear(bob, chat);
    gate.go();
    await until(() => ear.seqs.length === 1);
    expect(other.began).toBe(0);
    await rest();
  });

  it('is lost by one that was frozen: it sends nothing of it when it wakes', async () => {
    const frozen = new Part(whole);
    let sent: string[] = [];
    let online = false;
    /** A socket that notes what it sends, and cannot be opened before it is told. */
    class Noting extends (Socket as unknown as typeof WebSocket) {
      constructor(url: string, protocols: string[]) {
        super(online ? url : 'ws://127.0.0.1:1/', protocols);
      }
      override send(text: string): void {
        sent.push(text);
        super.send(text);
      }
    }
    const first = await tab(frozen, fetch, Noting as never);
    for (const text of ['one', 'two', 'three']) await first.messages.send(chat, text);
    frozen.deaf = true;
    const ear = new Ear(bob, chat);
    await tab(new Part(whole));
    await until(() => ear.texts.length === 3);
    online = true;
    await until(() => {
      if (first.state.retryAt) first.connect();
      return first.state.name === 'online' && first.messages.outbox(chat).length === 0;
    });
    expect(sent.some((text) => text.includes('"message"'))).toBe(false);
    expect(ear.texts).toEqual(['one', 'two', 'three']);
    sent = [];
    await rest();
  });

  it('is followed by what the frozen one is given when it wakes, not overtaken', async () => {
    const frozen = new Part(whole);
    const online = { first: false, second: false };
    /** A socket that cannot be opened before it is told. */
    const late = (who: keyof typeof online) =>
      class extends (Socket as unknown as typeof WebSocket) {
        constructor(url: string, protocols: string[]) {
          super(online[who] ? url : 'ws://127.0.0.1:1/', protocols);
        }
      } as never;
    const goOn = (who: keyof typeof online, client: Client) => {
      online[who] = true;
      return until(() => {
        if (client.state.retryAt) client.connect();
        return client.state.name === 'online';
      });
    };
    const first = await tab(frozen, fetch, late('first'));
    for (const text of ['one', 'two', 'three']) await first.messages.send(chat, text);
    frozen.deaf = true;
    const second = await tab(new Part(whole), fetch, late('second'));
    const owners = () => whole.read((tx) => tx.all<{ owner: string }>('outbox'));
    await until(async () => (await owners()).every(({ owner }) => owner === second['outbox']['self']));
    const ear = new Ear(bob, chat);
    frozen.deaf = false;
    await goOn('first', first);
    await first.messages.send(chat, 'four');
    await goOn('second', second);
    await until(() => ear.texts.length === 4);
    expect(ear.texts).toEqual(['one', 'two', 'three', 'four']);
    await until(() => first.messages.outbox(chat).length === 0);
    await rest();
  });

  it('does not keep the next one waiting, where it is the right to ask for new tokens', async () => {
    const gone = new Part(whole);
    let asked = 0;
    const hanging: typeof fetch = (input, init) => {
      if (!String(input).endsWith('/api/auth/refresh')) return fetch(input, init);
      asked++;
      return new Promise(() => {});
    };
    const first = await tab(gone, hanging);
    const stale = first['session'].row!.access;
    // the token has 22 s of life and 20 are kept in reserve
    void first.auth.token().catch(() => {});
    await until(() => {
      if (!asked) void first.auth.token().catch(() => {});
      return asked > 0;
    });
    gone.deaf = true;
    const began = Date.now();
    const second = await tab(new Part(whole));
    await until(async () => (await second.auth.token()) !== stale);
    // the lease alone would last for 30 s
    expect(Date.now() - began).toBeLessThan(25_000);
    await rest();
  });
});
