// What a client missed, and how it gets it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, MemoryStore } from '../src/index.js';
import { BadLine, random } from './proxy.js';
import { Ear, idOf, person, Socket, TestNode, until } from './node.js';

const upTo = (n: number, from = 1) => Array.from({ length: n }, (_, i) => i + from);

describe('a client that was away', () => {
  let node: TestNode;
  let line: BadLine;
  let ann: Client;
  let bob: Client;
  let store: MemoryStore;
  let url: string;

  beforeAll(async () => {
    node = await TestNode.start({ 'limits.ws_messages': '0' });
    line = new BadLine(() => node.http, random(1));
    url = await line.open();
    store = new MemoryStore(100_000);
    ann = await person(url, { store, farBehind: 3000 });
    bob = await person(node.url);
  });

  afterAll(async () => {
    await ann.close();
    await bob.close();
    await line.close();
    await node.finish();
  });

  function leave(): void {
    line.down = true;
    line.cutAll();
  }

  async function comeBack(): Promise<void> {
    await until(() => ann.state.name !== 'online');
    line.down = false;
    await until(() => {
      if (ann.state.retryAt) ann.connect();
      return ann.state.name === 'online';
    });
  }

  /** Many at once, by plain calls. */
  async function flood(chat: number, count: number): Promise<void> {
    const token = await bob.auth.token();
    const name = `${Math.random()}`;
    // without a device: bob's own client hears of them as of those of another device
    for (let n = 0; n < count; n += 50) {
      await Promise.all(
        upTo(Math.min(50, count - n), n).map(async (i) => {
          const response = await fetch(`${node.url}/api/messages`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${token}` },
            body: JSON.stringify({ conversation_id: chat, client_msg_id: `${name}-${i}`, text: `${i}` }),
          });
          expect(response.status).toBe(200);
        }),
      );
    }
  }

  it('gets 2,000 messages, each once and in order', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    await until(() => ann.conversations.get(chat.id));
    const ear = new Ear(ann, chat.id);
    leave();
    await flood(chat.id, 2000);
    expect(ear.seqs).toEqual([]);
    await comeBack();
    await until(() => ear.seqs.length >= 2000);
    expect(ear.seqs).toEqual(upTo(2000));
    expect(ear.resets).toBe(0);
    expect(ann.conversations.get(chat.id)).toMatchObject({ unread: 2000, latest_seq: 2000 });
  });

  it('is told of messages that were recalled meanwhile, and of those before a reload', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    const messages = await until(async () => {
      const window = await bob.messages.window(chat.id, { count: 3 });
      return window.messages[2]?.seq === 2000 && window.messages;
    });
    leave();
    for (const m of messages) await bob.messages.recall(m);
    const recalled: number[] = [];
    ann.on('changed', (e) =>
      recalled.push(...e.messages.filter((m) => m.status === 'recalled').map((m) => m.seq)),
    );
    await comeBack();
    await until(() => recalled.length >= 3);
    expect(recalled.sort((a, b) => a - b)).toEqual([1998, 1999, 2000]);
    const mine = await ann.messages.window(chat.id, { count: 4 });
    expect(mine.messages.map((m) => m.status)).toEqual(['normal', 'recalled', 'recalled', 'recalled']);
  });

  it('learns of new conversations with their messages, and of those that it lost', async () => {
    const old = await bob.groups.create('old', [idOf(ann)]);
    await until(() => ann.conversations.get(old.id));
    leave();
    const carl = await person(node.url);
    const chat = await carl.conversations.open(idOf(ann));
    await carl.messages.send(chat.id, 'hello, new here');
    await until(() => carl.messages.outbox(chat.id).length === 0);
    await bob.groups.remove(old.id, idOf(ann));
    const ear = new Ear(ann, chat.id);
    await comeBack();
    await until(() => ear.texts.length === 1 && !ann.conversations.get(old.id));
    expect(ear.texts).toEqual(['hello, new here']);
    await carl.close();
  });

  it('for too long gets the newest, is told so, and can page back without a hole', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    const ear = new Ear(ann, chat.id);
    leave();
    await flood(chat.id, 3200);
    await comeBack();
    await until(() => ear.resets === 1);
    await bob.messages.send(chat.id, 'and on');
    await until(() => ear.seqs.length > 0);
    expect(ear.seqs).toEqual([5201]);
    let before = Infinity;
    const seen: number[] = [];
    for (;;) {
      const { messages, hasMore } = await ann.messages.window(chat.id, { before, count: 200 });
      seen.unshift(...messages.map((m) => m.seq));
      if (!hasMore) break;
      before = messages[0]!.seq;
    }
    expect(seen).toEqual(upTo(5201));
  });

  it('finds what it has, by text and by id', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    const found = await ann.messages.search('ON', { conversation: chat.id });
    expect(found.map((m) => m.seq)).toEqual([5201]);
    expect((await ann.messages.find(found[0]!.id))?.seq).toBe(5201);
  });

  it('has read at the server what it read while away', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    leave();
    ann.conversations.read(chat.id);
    await until(() => ann.conversations.get(chat.id)!.unread === 0);
    const read = new Promise((resolve) => bob.once('read', resolve));
    await comeBack();
    expect(await read).toMatchObject({ conversation_id: chat.id, read_seq: 5201 });
  });

  it('sends when it is back what it was given while away, in order', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    const ear = new Ear(bob, chat.id);
    leave();
    const texts = ['a', 'b', 'c', 'd', 'e'];
    for (const text of texts) await ann.messages.send(chat.id, text);
    expect(ann.messages.outbox(chat.id).map((e) => e.state)).toEqual(texts.map(() => 'sending'));
    await comeBack();
    await until(() => ear.texts.length === 5);
    expect(ear.texts).toEqual(texts);
  });

  it('finds a message that it does not have by its id, and jumps to it', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    const { messages } = await bob.messages.window(chat.id, { before: 42, count: 1 });
    const wanted = messages[0]!;
    const empty = new MemoryStore();
    const other = new Client({ url: node.url, WebSocket: Socket, store: empty });
    await other.start();
    await other.auth.login(ann.auth.profile!.user.username, 'correct horse 9');
    await until(() => other.conversations.get(chat.id));
    expect(await empty.read((tx) => tx.messageById(wanted.id))).toBeUndefined();
    const found = await other.messages.find(wanted.id);
    expect(found).toMatchObject({ seq: 41, conversation_id: chat.id, body: wanted.body });
    const timeline = other.messages.timeline(chat.id);
    await timeline.jump(found!.seq, 20);
    expect(timeline.messages.map((m) => m.seq)).toEqual(upTo(20, 31));
    expect(timeline.atEnd).toBe(false);
    await timeline.toEnd();
    expect(timeline.atEnd).toBe(true);
    timeline.close();
    expect(await other.messages.find(wanted.id + 1_000_000)).toBeUndefined();
    const stranger = await person(node.url);
    expect(await stranger.messages.find(wanted.id)).toBeUndefined();
    await stranger.close();
    await other.close();
  });

  it('notices soon that its line carries nothing any more, and says what it wanted to once there is another', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    await until(() => ann.messages.outbox(chat.id).length === 0);
    const ear = new Ear(bob, chat.id);
    line.dead = true;
    const began = Date.now();
    await ann.messages.send(chat.id, 'into the void');
    await until(() => ann.state.name !== 'online');
    // 6 to 8 s; by pings alone it would be up to 40
    expect(Date.now() - began).toBeLessThan(20_000);
    line.dead = false;
    line.cutAll();
    await comeBack();
    await until(() => ear.texts.length === 1);
    expect(ear.texts).toEqual(['into the void']);
  });

  it('shows a timeline that goes on from what it shows', async () => {
    const chat = await bob.conversations.open(idOf(ann));
    // the other side may have what was just sent before this one hears so
    await until(() => ann.messages.outbox(chat.id).length === 0);
    const timeline = ann.messages.timeline(chat.id);
    await until(() => timeline.messages.length === 50);
    await timeline.older(50);
    await ann.messages.send(chat.id, 'own');
    await until(() => timeline.messages[timeline.messages.length - 1]!.body.text?.text === 'own');
    const last = timeline.messages[timeline.messages.length - 1]!.seq;
    expect(timeline.messages.map((m) => m.seq)).toEqual(upTo(101, last - 100));
    await until(() => timeline.pending.length === 0);
    await timeline.jump(1000, 20);
    expect(timeline.messages.map((m) => m.seq)).toEqual(upTo(20, 990));
    expect(timeline.atEnd).toBe(false);
    await bob.messages.send(chat.id, 'not shown here');
    await timeline.newer(100);
    expect(timeline.messages.map((m) => m.seq)).toEqual(upTo(120, 990));
    await timeline.toEnd();
    await until(() => timeline.messages[timeline.messages.length - 1]!.seq === last + 1);
    timeline.trim(10);
    expect(timeline.messages.map((m) => m.seq)).toEqual(upTo(10, last - 8));
    timeline.close();
  });
});
