import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '../src/index.js';
import { ApiError, MemoryStore } from '../src/index.js';
import { Ear, idOf, person, TestNode, until } from './node.js';

describe('a client of a real node', () => {
  let node: TestNode;
  let ann: Client;
  let bob: Client;

  beforeAll(async () => {
    node = await TestNode.start();
    ann = await person(node.url);
    bob = await person(node.url);
  }, 60_000);

  afterAll(async () => {
    await ann.close();
    await bob.close();
    await node.finish();
  });

  it('tells a refusal with its symbol, status and text', async () => {
    const wrong = ann.auth.login('nobody.here', 'correct horse 9');
    await expect(wrong).rejects.toMatchObject({ code: 'invalid_credentials', status: 400 });
    await expect(ann.users.find(999_999)).rejects.toBeInstanceOf(ApiError);
  });

  it('sends, tells both sides, and empties the outbox', async () => {
    const chat = await ann.conversations.open(idOf(bob));
    await until(() => bob.conversations.get(chat.id));
    const here = new Ear(ann, chat.id);
    const there = new Ear(bob, chat.id);
    const texts = ['one', 'two', 'three', 'four'];
    for (const text of texts) await ann.messages.send(chat.id, text);
    await until(() => here.texts.length === 4 && there.texts.length === 4);
    expect(here.texts).toEqual(texts);
    expect(there.texts).toEqual(texts);
    expect(there.seqs).toEqual([1, 2, 3, 4]);
    await until(() => ann.messages.outbox(chat.id).length === 0);
    expect(ann.conversations.get(chat.id)).toMatchObject({ unread: 0, latest_seq: 4 });
    expect(bob.conversations.get(chat.id)).toMatchObject({ unread: 4, latest_seq: 4 });
  });

  it('reads: here at once, on the other device and at the other side soon', async () => {
    const chat = await ann.conversations.open(idOf(bob));
    const read = new Promise((resolve) => ann.once('read', resolve));
    bob.conversations.read(chat.id);
    await until(() => bob.conversations.get(chat.id)!.unread === 0);
    expect(await read).toMatchObject({ user_id: idOf(bob), read_seq: 4 });
  });

  it('recalls', async () => {
    const chat = await ann.conversations.open(idOf(bob));
    const { messages } = await ann.messages.window(chat.id);
    const changed = new Promise((resolve) => bob.once('changed', resolve));
    await ann.messages.recall(messages[1]!);
    expect(await changed).toMatchObject({ messages: [{ seq: 2, status: 'recalled', body: {} }] });
    const mine = await ann.messages.window(chat.id);
    expect(mine.messages.map((m) => m.status)).toEqual(['normal', 'recalled', 'normal', 'normal']);
  });

  it('sends what is too long for a frame by another way', async () => {
    const chat = await ann.conversations.open(idOf(bob));
    const ear = new Ear(bob, chat.id);
    const text = '\u0001'.repeat(16_000);
    await ann.messages.send(chat.id, text);
    await until(() => ear.texts.length === 1);
    expect(ear.texts[0]).toBe(text);
  });

  it('says of a refused message why, and keeps it for retry or discard', async () => {
    const chat = await ann.conversations.open(idOf(bob));
    await bob.blocks.add(idOf(ann));
    const entry = await ann.messages.send(chat.id, 'hello?');
    await until(() => ann.messages.outbox(chat.id)[0]?.state === 'failed');
    expect(ann.messages.outbox(chat.id)[0]).toMatchObject({ error: { code: 'blocked' } });
    await bob.blocks.remove(idOf(ann));
    const ear = new Ear(bob, chat.id);
    await ann.messages.retry(entry.client_msg_id);
    await until(() => ear.texts.includes('hello?') && ann.messages.outbox(chat.id).length === 0);
  });

  it('shows a group to those who are in it, with every change', async () => {
    const group = await ann.groups.create('hiking', [idOf(bob)]);
    await until(() => bob.conversations.get(group.id)?.title === 'hiking');
    await ann.groups.update(group.id, { title: 'biking' });
    expect(ann.conversations.get(group.id)!.title).toBe('biking');
    await until(() => bob.conversations.get(group.id)?.title === 'biking');
    await ann.groups.remove(group.id, idOf(bob));
    await until(() => !bob.conversations.get(group.id));
    await ann.groups.dissolve(group.id);
    expect(ann.conversations.get(group.id)!.status).toBe('dissolved');
  });

  it('does not take for the next who signs in what was asked in the name of the last', async () => {
    const store = new MemoryStore();
    const name = `next.${process.pid}`;
    let answered = 0;
    let go = () => {};
    const word = new Promise<void>((resolve) => (go = resolve));
    let late = false;
    const client = await person(node.url, {
      store,
      fetch: async (input, init) => {
        const answer = await fetch(input, init);
        if (!late || !String(input).includes('/api/conversations?') || answered++) return answer;
        await word;
        return answer;
      },
    });
    await client.conversations.open(idOf(bob));
    late = true;
    const list = client.conversations.refresh().catch((e: unknown) => e);
    await until(() => answered === 1);
    await client.auth.logout();
    await client.auth.register({ username: name, password: 'correct horse 9' });
    await until(() => client.state.name === 'online' && client.conversations.loaded);
    go();
    expect(await list).toMatchObject({ code: 'signed_out' });
    expect(client.conversations.list).toEqual([]);
    expect(await store.read((tx) => tx.all('conversations'))).toEqual([]);
    await client.close();
  });

  it('follows contacts and their presence', async () => {
    const asked = new Promise((resolve) => bob.once('contactRequest', resolve));
    expect(await ann.contacts.apply(idOf(bob), 'hi')).toBe('pending');
    expect(await asked).toMatchObject({ message: 'hi' });
    await bob.contacts.answer(idOf(ann), true);
    const off = ann.presence.watch([idOf(bob)]);
    await until(() => ann.presence.get(idOf(bob))?.online);
    off();
    expect(ann.presence.get(idOf(bob))).toBeUndefined();
  });
});
