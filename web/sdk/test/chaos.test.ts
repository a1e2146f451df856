// Each message exactly once and in order, whatever the line does. SEED=n repeats a run.
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { describe, expect, it } from 'vitest';
import { IndexedDbStore, MemoryStore, type Client, type Store } from '../src/index.js';
import { BadLine, random } from './proxy.js';
import { Ear, idOf, person, TestNode, until } from './node.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
console.log(`chaos: SEED=${seed}`);
Object.assign(globalThis, { indexedDB: new IDBFactory(), IDBKeyRange });

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

/** What each sender has sent arrives in the order in which it was sent. */
function inOrderOfSenders(texts: string[]): boolean {
  const last = new Map<string, number>();
  return texts.every((text) => {
    const [sender, n] = text.split(' ') as [string, string];
    const before = last.get(sender) ?? -1;
    last.set(sender, Number(n));
    return Number(n) === before + 1;
  });
}

describe('a bad line', () => {
  it('shows 2,000 messages of several senders each once and in order, over cuts, expired tokens and a killed node', async () => {
    const roll = random(seed);
    const node = await TestNode.start({
      'auth.access_ttl': '25s',
      'ws.ping_interval': '1s',
      'ws.dead_after': '4s',
    });
    const lines: BadLine[] = [];
    const clients: Client[] = [];
    const join = async (store: Store) => {
      const line = new BadLine(() => node.http, roll);
      lines.push(line);
      clients.push(await person(await line.open(), { store }));
    };
    for (let i = 0; i < 4; i++) await join(new MemoryStore(100_000));
    await join(new IndexedDbStore(`chaos-${seed}`));
    const [ann, ...others] = clients as [Client, ...Client[]];
    const group = await ann.groups.create('chaos', others.map(idOf));
    await until(() => others.every((c) => c.conversations.get(group.id)));
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
    await Promise.all(
      clients.map(async (client, who) => {
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
      expect(inOrderOfSenders(ear.texts)).toBe(true);
      expect(ear.resets).toBe(0);
    }
    await until(() => clients.every((c) => c.messages.outbox(group.id).length === 0));
    console.log(
      `chaos: ${lines.reduce((n, l) => n + l.cuts, 0)} cuts, ${lines.reduce((n, l) => n + l.swallowed, 0)} swallowed`,
    );
    for (const client of clients) await client.close();
    for (const line of lines) await line.close();
    await node.finish();
  }, 600_000);
});
