// Each message exactly once and in order, whatever the line does. SEED=n repeats a run.
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { describe, expect, it } from 'vitest';
import {
  Client,
  IndexedDbStore,
  MemoryStore,
  type ApiError,
  type Message,
  type SocketClass,
  type Store,
} from '../src/index.js';
import { BadLine, random } from './proxy.js';
import { Ear, idOf, person, StrictSocket, TestNode, until } from './node.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
console.log(`chaos: SEED=${seed}`);
Object.assign(globalThis, { indexedDB: new IDBFactory(), IDBKeyRange });

const Socket = StrictSocket as unknown as SocketClass;

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

/**
 * What does not stand in the order in which its sender has sent it, with what it stands behind; of what was recalled before, the text
 * is gone.
 */
function overtaken(texts: string[]): string[] {
  const last = new Map<string, string>();
  return texts.filter(Boolean).flatMap((text) => {
    const [sender, n] = text.split(' ') as [string, string];
    const before = last.get(sender) ?? '-1';
    last.set(sender, n);
    return Number(n) > Number(before) ? [] : [`${text} behind ${before}`];
  });
}

/** A whole conversation, as this client sees it. */
async function whole(client: Client, conversation: number): Promise<Message[]> {
  const all: Message[] = [];
  for (let before = Infinity; ; before = all[0]!.seq) {
    const window = await client.messages.window(conversation, { before, count: 200 });
    all.unshift(...window.messages);
    if (!window.hasMore) return all;
  }
}

describe('a bad line', () => {
  it('shows 2,000 messages of several senders each once and in order, over cuts, expired tokens and a killed node', async () => {
    const roll = random(seed);
    const node = await TestNode.start({
      'auth.access_ttl': '25s',
      // an answer that got lost is asked for again: on a line like this, and a machine that stands still at times, not within 10 s
      'auth.refresh_grace': '60s',
      'ws.ping_interval': '1s',
      'ws.dead_after': '4s',
    });
    const lines: BadLine[] = [];
    const clients: Client[] = [];
    const join = async (store: Store) => {
      const line = new BadLine(() => node.http, roll);
      lines.push(line);
      clients.push(await person(await line.open(), { store, WebSocket: Socket }));
    };
    for (let i = 0; i < 4; i++) await join(new MemoryStore(100_000));
    await join(new IndexedDbStore(`chaos-${seed}`));
    const [ann, ...others] = clients as [Client, ...Client[]];
    const group = await ann.groups.create('chaos', others.map(idOf));
    const senders = [...clients];
    // another tab of the last one
    const tabLine = new BadLine(() => node.http, roll);
    lines.push(tabLine);
    const url = await tabLine.open();
    const tab = new Client({ url, WebSocket: Socket, store: new IndexedDbStore(`chaos-${seed}`) });
    clients.push(tab);
    await tab.start();
    await until(() => clients.every((c) => c.conversations.get(group.id)));
    const ears = clients.map((c) => new Ear(c, group.id));
    // somebody who does not wait for the next try: the waits grow on a line as bad as this
    for (const client of clients) {
      client.on('state', (state) => {
        if (state.retryAt > Date.now() + 1000) client.connect();
      });
    }
    // the limit of a socket is 20 messages a second, so lines break meanwhile
    for (const line of lines) Object.assign(line, { cut: 0.01, swallow: 0.002, delay: 0.2 });
    const each = 400;
    const recalls: Promise<void>[] = [];
    const recall = async (m: Message): Promise<void> => {
      for (;;) {
        try {
          return await ann.messages.recall(m);
        } catch (e) {
          if (!(e as ApiError).temporary) throw e;
          await new Promise((again) => setTimeout(again, 20));
        }
      }
    };
    ann.on('messages', ({ messages }) => {
      for (const m of messages) {
        if (m.seq % 20 === 0) recalls.push(recall(m));
      }
    });
    await Promise.all(
      senders.map(async (client, who) => {
        for (let n = 0; n < each; n++) await client.messages.send(group.id, `s${who} ${n}`);
      }),
    );
    const told = () => Math.min(...ears.map((ear) => ear.seqs.length));
    await until(() => told() >= 600, 'a third is there', 240_000);
    await node.crash();
    await node.up();
    await until(() => told() >= 1200, 'two thirds are there', 240_000);
    for (const line of lines) line.cutAll();
    await until(() => told() >= 2000, 'all is there', 240_000);
    for (const line of lines) Object.assign(line, { cut: 0, swallow: 0 });
    for (const ear of ears) {
      expect(ear.seqs).toEqual(upTo(2000));
      expect(overtaken(ear.texts)).toEqual([]);
      expect(ear.resets).toBe(0);
    }
    await until(() => clients.every((c) => c.messages.outbox(group.id).length === 0));
    await Promise.all(recalls);
    // what was recalled on the way is so everywhere
    const fresh = await person(node.url);
    await ann.groups.add(group.id, [idOf(fresh)]);
    await until(() => fresh.conversations.get(group.id));
    const truth = (await whole(fresh, group.id)).map((m) => [m.id, m.seq, m.status, m.body.text?.text]);
    expect(truth.filter(([, , status]) => status === 'recalled').length).toBe(100);
    for (const client of clients) {
      await until(async () => {
        const seen = (await whole(client, group.id)).map((m) => [m.id, m.seq, m.status, m.body.text?.text]);
        return JSON.stringify(seen) === JSON.stringify(truth);
      }, 'all see the same');
    }
    clients.push(fresh);
    expect(StrictSocket.broken).toEqual([]);
    console.log(
      `chaos: ${lines.reduce((n, l) => n + l.cuts, 0)} cuts, ${lines.reduce((n, l) => n + l.swallowed, 0)} swallowed`,
    );
    for (const client of clients) await client.close();
    for (const line of lines) await line.close();
    await node.finish();
  }, 600_000);
});
