// Files of messages, against a real node.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, MemoryStore, mediaOf, type Message } from '../src/index.js';
import { holdsBack } from '../src/turns.js';
import { BadLine, random } from './proxy.js';
import { idOf, person, Socket, TestNode, until } from './node.js';

const digest = (data: ArrayBuffer) => createHash('sha256').update(new Uint8Array(data)).digest('hex');

/** Bytes that no two parts of share, and that no sniffer takes for a picture. */
function bytes(size: number, type = 'application/octet-stream'): Blob {
  const roll = random(size);
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let i = 0; i < words.length; i++) words[i] = roll() * 4_294_967_296;
  return new Blob([new Uint8Array(words.buffer, 0, size)], { type });
}

/** The smallest PNG. */
const png = Uint8Array.from(
  atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='),
  (c) => c.charCodeAt(0),
);

describe('files', () => {
  let node: TestNode;
  let line: BadLine;
  let url: string;
  let ann: Client;
  let bob: Client;
  let chat: number;
  let store: MemoryStore;

  beforeAll(async () => {
    node = await TestNode.start();
    line = new BadLine(() => node.http, random(5));
    url = await line.open();
    store = new MemoryStore();
    ann = await person(url, { store });
    bob = await person(node.url);
    chat = (await ann.conversations.open(idOf(bob))).id;
    await until(() => bob.conversations.get(chat));
  });

  afterAll(async () => {
    await ann.close();
    await bob.close();
    await line.close();
    await node.finish();
  });

  const next = () =>
    new Promise<Message>((resolve) => bob.once('messages', ({ messages }) => resolve(messages[0]!)));

  it('arrive with their name, kind, size and picture size, and can be read by the other side', async () => {
    const coming = next();
    const picture = new Blob([png], { type: 'image/png' });
    await ann.messages.sendFile(chat, picture, {
      filename: 'dot.png',
      width: 1,
      height: 1,
      thumbnail: picture,
    });
    const message = await coming;
    expect(message.content_type).toBe(2);
    expect(message.body.image).toMatchObject({
      filename: 'dot.png',
      content_type: 'image/png',
      size_bytes: png.length,
      width: 1,
    });
    expect(message.body.image!.thumbnail_key).not.toBe('');
    const read = await bob.files.download(message);
    expect(digest(await read.arrayBuffer())).toBe(digest(png.buffer));
    const small = await fetch(await bob.files.link(message, 'thumbnail'));
    expect(digest(await small.arrayBuffer())).toBe(digest(png.buffer));
  });

  /** The names and texts that bob gets, as they come. */
  function heard(): { list: string[]; off: () => void } {
    const list: string[] = [];
    const off = bob.on('messages', ({ messages }) =>
      list.push(...messages.map((m) => m.body.text?.text ?? mediaOf(m.body)!.filename)),
    );
    return { list, off };
  }

  it('come in the order in which they were sent, with the texts between them', async () => {
    const { list, off } = heard();
    const all = [
      ann.messages.sendFile(chat, bytes(2 ** 20), { filename: 'larger.bin' }),
      ann.messages.send(chat, 'this was the larger one'),
      ann.messages.sendFile(chat, bytes(100), { filename: 'small.bin' }),
      ann.messages.send(chat, 'and that the small one'),
    ];
    await Promise.all(all);
    await until(() => list.length === 4);
    expect(list).toEqual(['larger.bin', 'this was the larger one', 'small.bin', 'and that the small one']);
    off();
  });

  it('do not hold up texts for long', async () => {
    let go = () => {};
    const word = new Promise<void>((resolve) => (go = resolve));
    const waiting: typeof fetch = async (input, init) => {
      if (init?.method === 'PUT') await word;
      return fetch(input, init);
    };
    const cora = await person(node.url, { fetch: waiting });
    const own = await cora.conversations.open(idOf(bob));
    const { list, off } = heard();
    await cora.messages.sendFile(own.id, bytes(200), { filename: 'slow.bin' });
    await cora.messages.send(own.id, 'meanwhile');
    await until(() => list.length === 1);
    expect(list).toEqual(['meanwhile']);
    go();
    await until(() => list.length === 2);
    expect(list).toEqual(['meanwhile', 'slow.bin']);
    off();
    await cora.close();
  });

  it('hold back what is behind them for 10 s at most, and only 2 s where they will take longer than that', () => {
    const mib = 2 ** 20;
    expect(holdsBack(500 * mib, 0, 1900)).toBe(true);
    // 1 MiB a second: 500 of them take minutes, 8 are soon there
    expect(holdsBack(500 * mib, 2 * mib, 2000)).toBe(false);
    expect(holdsBack(8 * mib, 2 * mib, 2000)).toBe(true);
    expect(holdsBack(8 * mib, 2 * mib, 9900)).toBe(false);
    // all sent, not yet taken
    expect(holdsBack(8 * mib, 8 * mib, 9900)).toBe(true);
    expect(holdsBack(8 * mib, 8 * mib, 10_000)).toBe(false);
    // nothing is known of the pace
    expect(holdsBack(100, 0, 9900)).toBe(true);
    expect(holdsBack(100, 0, 10_000)).toBe(false);
  });

  it('are refused with the reason, and kept', async () => {
    const wrong = await ann.messages.sendFile(chat, bytes(100, 'text/plain'), {
      filename: 'x.txt',
      kind: 'image',
    });
    const entry = await until(() => ann.messages.outbox(chat).find((e) => e.state === 'failed'));
    expect(entry).toMatchObject({ client_msg_id: wrong.client_msg_id, error: { code: 'unsupported_type' } });
    await ann.messages.discard(wrong.client_msg_id);
    expect(ann.messages.outbox(chat)).toEqual([]);
  });

  it('go up over a line that is cut again and again', async () => {
    const file = bytes(21 * 2 ** 20 + 17);
    // so many pieces that some are cut in any case, though not the same at each run
    Object.assign(line, { cut: 0.05, most: { cuts: 12, swallowed: 0 } });
    const coming = next();
    const steps: number[] = [];
    const off = ann.on('outbox', () => {
      const entry = ann.messages.outbox(chat).find((e) => e.upload);
      if (entry) steps.push(entry.upload!.sent_bytes);
    });
    await ann.messages.sendFile(chat, file, { filename: 'parts.bin' });
    const message = await coming;
    off();
    expect(line.cuts).toBe(12);
    Object.assign(line, { cut: 0 });
    expect(Math.max(...steps)).toBe(file.size);
    expect(mediaOf(message.body)).toMatchObject({ size_bytes: file.size });
    expect(digest(await (await bob.files.download(message)).arrayBuffer())).toBe(
      digest(await file.arrayBuffer()),
    );
  });

  it('go on after a reload where they were, when the same file is given again', async () => {
    const file = bytes(36 * 2 ** 20 + 5);
    let started = 0;
    let parts = 0;
    const counted: typeof fetch = async (input, init) => {
      if (init?.method !== 'PUT') return fetch(input, init);
      // the reload comes in the middle
      if (++started > 4) return new Promise(() => {});
      const response = await fetch(input, init);
      parts++;
      return response;
    };
    const kept = new MemoryStore();
    const first = await person(node.url, { store: kept, fetch: counted });
    const own = await first.conversations.open(idOf(bob));
    const entry = await first.messages.sendFile(own.id, file, { filename: 'resume.bin' });
    await until(() => parts === 4);
    await until(() => (first.messages.outbox(own.id)[0]?.upload?.sent_bytes ?? 0) >= 20 * 2 ** 20);
    await first.close();
    let more = 0;
    const second = new Client({
      url: node.url,
      WebSocket: Socket,
      store: kept,
      fetch: (input, init) => {
        if (init?.method === 'PUT') more++;
        return fetch(input, init);
      },
    });
    await second.start();
    // a large file is not copied into the store
    await until(() => second.messages.outbox(own.id)[0]?.error?.code === 'file_needed');
    await expect(second.messages.retry(entry.client_msg_id, bytes(5))).rejects.toMatchObject({
      code: 'bad_request',
    });
    const coming = next();
    await second.messages.retry(entry.client_msg_id, file);
    const message = await coming;
    expect(more).toBe(4);
    expect(digest(await (await bob.files.download(message)).arrayBuffer())).toBe(
      digest(await file.arrayBuffer()),
    );
    // the other side may have the message before this one hears so
    await until(async () => (await kept.read((tx) => tx.all('uploads'))).length === 0);
    await second.close();
  });

  it('stop when they are discarded', async () => {
    let puts = 0;
    const hanging: typeof fetch = (input, init) =>
      init?.method === 'PUT'
        ? new Promise((_, reject) => {
            puts++;
            init.signal!.addEventListener('abort', () => reject(new DOMException('', 'AbortError')));
          })
        : fetch(input, init);
    const client = await person(node.url, { fetch: hanging });
    const own = await client.conversations.open(idOf(bob));
    const entry = await client.messages.sendFile(own.id, bytes(17 * 2 ** 20), { filename: 'never.bin' });
    await until(() => puts > 0);
    await client.messages.discard(entry.client_msg_id);
    expect(client.messages.outbox(own.id)).toEqual([]);
    await client.close();
  });

  it('are forwarded by their id, and their links are renewed when they end', async () => {
    const { messages } = await bob.messages.window(chat, { count: 50 });
    const picture = messages.find((m) => m.content_type === 2)!;
    const other = await bob.groups.create('forwards', [idOf(ann)]);
    await until(() => ann.conversations.get(other.id));
    const got = new Promise<Message>((resolve) => {
      ann.on('messages', (e) => e.conversation_id === other.id && resolve(e.messages[0]!));
    });
    await bob.messages.send(other.id, {
      content_type: 2,
      body: { image: { file_id: picture.body.image!.file_id } },
    });
    const forwarded = await got;
    expect(forwarded.body.image).toMatchObject({ filename: 'dot.png' });
    const old: Message = {
      ...forwarded,
      body: { image: { ...forwarded.body.image!, object_key: '/old', url_expires_at_ms: 1 } },
    };
    expect(await ann.files.link(old)).toContain('/api/files/blob/');
  });

  it('go up without a message, too', async () => {
    const { file_id, object_key } = await ann.files.upload(new Blob([png], { type: 'image/png' }), {
      filename: 'me.png',
    });
    expect(file_id).toBeGreaterThan(0);
    expect(object_key).toContain('/api/files/blob/');
  });
});
