// Messages of one's own on their way: kept in the store, sent in order for each conversation (turns.ts), one at a time, until the server
// has taken or refused them. Whoever queued a message sends it; what belonged to a client that lives no more (a closed tab) another client of the
// store takes over. Sending twice does no harm: the server knows a message by its client_msg_id.
import type { Chats } from './chats.js';
import type { Connection } from './connection.js';
import { ApiError, toApiError } from './errors.js';
import { fromItem, type ConversationRow } from './rows.js';
import type { Peers } from './peers.js';
import type { Session } from './session.js';
import type { Store } from './store.js';
import { backoff, sleep, unique } from './timing.js';
import { holdsBack } from './turns.js';
import type { Content, FileOptions, Message, OutboxEntry, SendOptions } from './types.js';
import type { Completed, Uploads } from './uploads.js';
import type { MessageItem } from './wire.js';

export interface OutboxRow extends OutboxEntry {
  /** They go in this order. */
  order: number;
  /** The client that sends it (Peers.self), or "": whoever finds it. */
  owner: string;
  /** What the upload is called in the store, and what it came to. */
  uploadId?: string;
  completed?: Completed;
}

type Sent = Pick<OutboxRow, 'conversation_id' | 'client_msg_id' | 'content_type' | 'reply_to'> & {
  content: OutboxRow['body'];
};
type Ack = { message_id: number; seq: number; created_at_ms: number };

export type OutboxNote = { kind: 'outbox'; conversation: number };

const MOST = 1000;
/** How often is asked whether the others whose messages wait still live. */
const TICK_MS = 2000;
/** Whether these were done is not known, and after so many tries it never will be. */
const OPEN_TRIES = 10;
/** How soon is looked again whether a file still holds back what is behind it. */
const LOOK_MS = 250;
/** Conversations that are sent to at the same time: what a server allows one socket is soon used up. */
const PUMPS = 8;
/** Bytes of a frame beside its content. */
const FRAME_REST = 1024;

export class Outbox {
  private rows = new Map<string, OutboxRow>();
  /** Stored by the server, not told among the messages yet. */
  private sent = new Map<string, number>();
  /** Sent by the socket once; whether the server has them is open. */
  private tried = new Set<string>();
  /** What was queued last here, by conversation. */
  private newest = new Map<number, string>();
  private pumping = new Set<number>();
  private uploading = new Map<string, { stop: AbortController; since: number }>();
  /** What is being queued in a conversation: a large file takes a moment, and what comes after it must not be quicker. */
  private queueing = new Map<number, Promise<unknown>>();
  private self: string;
  private timer: ReturnType<typeof setInterval> | undefined;
  private look: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private session: Session,
    private connection: Connection,
    private chats: Chats,
    private store: Store,
    private uploads: Uploads,
    private peers: Peers,
    private owner: object,
    private tell: (conversation: number) => void,
  ) {
    this.self = peers.self;
  }

  list(conversation: number): readonly OutboxEntry[] {
    return [...this.rows.values()]
      .filter((row) => row.conversation_id === conversation)
      .sort((a, b) => a.order - b.order)
      .map(entryOf);
  }

  /** Somebody is signed in. */
  async start(): Promise<void> {
    this.timer ??= setInterval(() => void this.takeOver().catch(() => {}), TICK_MS);
    await this.load();
    this.run();
    // nobody waits for the answers of those that may live no more
    void this.takeOver().catch(() => {});
  }

  /** Owns nothing any more, so that others need not ask. */
  async release(): Promise<void> {
    if (this.rows.size) await this.give((row) => row.owner === this.self, '');
  }

  /** What belongs to nobody who lives becomes one's own. */
  async takeOver(): Promise<void> {
    if (![...this.rows.values()].some((row) => row.owner !== this.self)) return;
    await this.load();
    const owners = new Set<string>();
    for (const { owner, state } of this.rows.values()) if (state !== 'failed') owners.add(owner);
    for (const owner of owners) if (await this.peers.alive(owner)) owners.delete(owner);
    if (!owners.size || !this.session.row) return;
    await this.give((row) => owners.has(row.owner), this.self);
    this.run();
  }

  /** @param release others may go on with what waits */
  async stop(release: boolean): Promise<void> {
    clearInterval(this.timer);
    clearTimeout(this.look);
    this.timer = this.look = undefined;
    for (const { stop } of this.uploading.values()) stop.abort();
    if (release) await this.release();
    for (const map of [this.rows, this.sent, this.tried, this.newest]) map.clear();
  }

  send(conversation: number, content: string | Content, options: SendOptions = {}): Promise<OutboxEntry> {
    const { content_type, body } =
      typeof content === 'string' ? { content_type: 1, body: { text: { text: content } } } : content;
    const entry = async () => ({
      conversation_id: conversation,
      content_type,
      body: body as OutboxEntry['body'],
      reply_to: options.replyTo ?? 0,
      state: 'sending' as const,
    });
    return this.queue(conversation, entry);
  }

  sendFile(conversation: number, file: Blob, options: FileOptions = {}): Promise<OutboxEntry> {
    return this.queue(conversation, async () => ({
      ...(await this.uploads.prepare(file, options)),
      conversation_id: conversation,
      body: {},
      reply_to: options.replyTo ?? 0,
      state: 'uploading',
    }));
  }

  async retry(name: string, file?: Blob): Promise<void> {
    const row = this.rows.get(name);
    if (row?.state !== 'failed') return;
    if (file && row.uploadId) await this.uploads.provide(row.uploadId, file);
    const state = row.uploadId && !row.completed ? 'uploading' : 'sending';
    const { error: _, ...rest } = row;
    await this.last({ ...rest, state });
  }

  async discard(name: string): Promise<void> {
    const row = this.rows.get(name);
    if (!row) return;
    this.uploading.get(name)?.stop.abort();
    await this.remove(row);
    if (row.uploadId) await this.uploads.forget(row.uploadId, !row.completed);
  }

  /** There is a socket again, or new work. */
  run(): void {
    for (const id of new Set([...this.rows.values()].map((row) => row.conversation_id))) this.go(id);
  }

  heard(note: OutboxNote): void {
    const look = this.load().then(() => {
      this.tell(note.conversation);
      this.go(note.conversation);
    });
    look.catch(() => {});
  }

  /** These are in the store as messages; they stay in the list until they have been told. */
  settled(row: ConversationRow, names: string[]): void {
    for (const name of names) {
      const entry = this.rows.get(name);
      if (entry) this.rows.set(name, { ...entry, state: 'sent' });
    }
    let gone = false;
    for (const [name, seq] of this.sent) {
      if (this.rows.get(name)?.conversation_id !== row.id || seq > row.top) continue;
      this.rows.delete(name);
      this.sent.delete(name);
      this.tried.delete(name);
      gone = true;
    }
    if (gone || names.length) queueMicrotask(() => this.tell(row.id));
    if (names.length) this.post(row.id);
  }

  /** One after the other, in the order of the calls. */
  private queue(
    conversation: number,
    make: () => Promise<Omit<OutboxRow, 'client_msg_id' | 'created_at_ms' | 'order' | 'owner'>>,
  ): Promise<OutboxEntry> {
    const created_at_ms = Date.now();
    const before = this.queueing.get(conversation) ?? Promise.resolve();
    const queued = before.then(async () => {
      if (this.rows.size >= MOST) throw new ApiError(0, 'busy', 'too many messages wait');
      const part = await make();
      return this.last({ ...part, client_msg_id: unique(), created_at_ms, order: 0, owner: this.self });
    });
    const done = queued
      .catch(() => {})
      .finally(() => {
        if (this.queueing.get(conversation) === done) this.queueing.delete(conversation);
      });
    this.queueing.set(conversation, done);
    return queued;
  }

  /**
   * Puts it at the end of the order, and sends it when its turn comes. What was queued here before may be another's by now (this page was
   * frozen): then this one is, too, or it would go first.
   */
  private async last(row: OutboxRow): Promise<OutboxEntry> {
    const before = this.newest.get(row.conversation_id) ?? '';
    this.newest.set(row.conversation_id, row.client_msg_id);
    const placed = await this.store.write(async (tx) => {
      const order = ((await tx.get<number>('meta', 'order')) ?? 0) + 1;
      const ahead = await tx.get<OutboxRow>('outbox', before);
      const owner = ahead && ahead.state !== 'failed' ? ahead.owner : this.self;
      const now = { ...row, order, owner };
      tx.put('meta', 'order', order);
      tx.put('outbox', row.client_msg_id, now);
      return now;
    });
    this.rows.set(placed.client_msg_id, placed);
    this.tell(placed.conversation_id);
    this.post(placed.conversation_id);
    this.go(placed.conversation_id);
    return entryOf(placed);
  }

  private async put(row: OutboxRow): Promise<void> {
    const name = row.client_msg_id;
    this.rows.set(name, row);
    this.tell(row.conversation_id);
    const own = await this.store.write(async (tx) => {
      if ((await tx.get<OutboxRow>('outbox', name))?.owner !== this.self) return false;
      tx.put('outbox', name, row);
      return true;
    });
    if (!own) await this.load();
    this.post(row.conversation_id);
  }

  private async remove(row: OutboxRow): Promise<void> {
    this.rows.delete(row.client_msg_id);
    this.sent.delete(row.client_msg_id);
    this.tried.delete(row.client_msg_id);
    this.tell(row.conversation_id);
    await this.store.write(async (tx) => tx.delete('outbox', row.client_msg_id));
    this.post(row.conversation_id);
  }

  private post(conversation: number): void {
    this.store.post({ kind: 'outbox', conversation } satisfies OutboxNote, this.owner);
  }

  /** What the store has, and what was sent and is about to be told. */
  private async load(): Promise<void> {
    const rows = await this.store.read((tx) => tx.all<OutboxRow>('outbox'));
    const names = new Set(rows.map((row) => row.client_msg_id));
    for (const name of [...this.rows.keys()]) {
      if (names.has(name) || this.sent.has(name)) continue;
      this.rows.delete(name);
      this.uploading.get(name)?.stop.abort();
    }
    for (const row of rows) {
      // of what is one's own the store may be a step behind
      const own = row.owner === this.self && this.rows.get(row.client_msg_id)?.owner === this.self;
      if (!own && !this.sent.has(row.client_msg_id)) this.rows.set(row.client_msg_id, row);
      if (row.owner !== this.self) this.uploading.get(row.client_msg_id)?.stop.abort();
    }
  }

  /** Changes the owner of some, all at once. */
  private async give(which: (row: OutboxRow) => boolean, owner: string): Promise<void> {
    const given = await this.store.write(async (tx) => {
      const rows = (await tx.all<OutboxRow>('outbox')).filter((row) => row.state !== 'failed' && which(row));
      for (const row of rows) tx.put('outbox', row.client_msg_id, { ...row, owner });
      return rows;
    });
    for (const row of given) {
      const known = this.rows.get(row.client_msg_id);
      if (known && known.state !== 'sent') this.rows.set(row.client_msg_id, { ...row, owner });
      if (owner !== this.self) this.uploading.get(row.client_msg_id)?.stop.abort();
    }
    for (const id of new Set(given.map((row) => row.conversation_id))) this.post(id);
  }

  /** It is still here and one's own: asked before each step, since a page that was frozen has lost what it owned. */
  private async owns(name: string): Promise<boolean> {
    const row = await this.store.read((tx) => tx.get<OutboxRow>('outbox', name));
    if (row?.owner === this.self) return true;
    await this.load();
    return false;
  }

  private go(conversation: number): void {
    for (const row of this.rows.values()) {
      if (row.conversation_id === conversation && row.state === 'uploading') void this.upload(row);
    }
    const idle = !this.pumping.has(conversation) && this.pumping.size < PUMPS;
    if (!idle || !this.connection.online || !this.first(conversation)) return;
    this.pumping.add(conversation);
    void this.pump(conversation).finally(() => {
      this.pumping.delete(conversation);
      this.run();
    });
  }

  private async pump(conversation: number): Promise<void> {
    for (let tries = 0; this.connection.online;) {
      const row = this.first(conversation);
      if (!row) return;
      try {
        if (await this.owns(row.client_msg_id)) await this.deliver(row);
        tries = 0;
      } catch (e) {
        const error = toApiError(e);
        const open = error.code === 'internal' || error.code === 'timeout';
        if (error.code === 'signed_out' || error.status === 401) return;
        if (!error.temporary || (open && tries >= OPEN_TRIES)) await this.fail(row, error);
        else await sleep(error.retryAfter + backoff(tries++, 200));
      }
    }
  }

  private first(conversation: number): OutboxRow | undefined {
    let first: OutboxRow | undefined;
    const files: OutboxRow[] = [];
    for (const row of this.rows.values()) {
      if (row.conversation_id !== conversation || row.owner !== this.self) continue;
      if (row.state === 'uploading') files.push(row);
      if (row.state === 'sending' && (!first || row.order < first.order)) first = row;
    }
    if (!first || !files.some((file) => file.order < first.order && this.holdsBack(file))) return first;
    this.look ??= setTimeout(() => {
      this.look = undefined;
      this.run();
    }, LOOK_MS);
    return undefined;
  }

  private holdsBack({ client_msg_id, upload }: OutboxRow): boolean {
    const since = Math.max(this.uploading.get(client_msg_id)?.since ?? 0, this.connection.onlineSince);
    return holdsBack(upload?.size_bytes ?? 0, upload?.sent_bytes ?? 0, Date.now() - since);
  }

  private async deliver(row: OutboxRow): Promise<void> {
    const message = await this.transmit(row);
    if (this.rows.has(row.client_msg_id)) this.sent.set(row.client_msg_id, message.seq);
    await this.chats.add(row.conversation_id, { messages: [message], settled: [row.client_msg_id] });
    if (row.uploadId) await this.uploads.forget(row.uploadId, false);
  }

  /**
   * The first try goes by the socket, whose ack says that the message is stored. A repeat goes by HTTP, which answers with the message
   * as it is now: it may have been recalled meanwhile.
   */
  private async transmit(row: OutboxRow): Promise<Message> {
    const { conversation_id, client_msg_id, content_type, reply_to, body: content, completed } = row;
    const byHttp = async (path: string, body: object) =>
      fromItem((await this.session.call<MessageItem>('POST', path, { body })).data);
    const send = { conversation_id, client_msg_id, content_type, content, reply_to };
    const long =
      new TextEncoder().encode(JSON.stringify(content)).length > this.connection.maxFrame - FRAME_REST;
    if (completed)
      return byHttp('/api/files/complete', { ...completed, conversation_id, client_msg_id, reply_to });
    if (long || this.tried.has(client_msg_id)) return byHttp('/api/messages', send);
    this.tried.add(client_msg_id);
    return this.bySocket(send);
  }

  private async bySocket({ content, ...send }: Sent): Promise<Message> {
    const ack = await this.connection.request<Ack>('message', { ...send, content });
    return {
      ...send,
      id: ack.message_id,
      sender_id: this.session.userId,
      seq: ack.seq,
      body: content,
      created_at_ms: ack.created_at_ms,
      status: 'normal',
    };
  }

  private async fail(row: OutboxRow, error: ApiError): Promise<void> {
    if (!this.rows.has(row.client_msg_id)) return;
    await this.put({ ...row, state: 'failed', error: { code: error.code, message: error.message } });
  }

  private async upload(row: OutboxRow): Promise<void> {
    const name = row.client_msg_id;
    if (this.uploading.has(name) || row.owner !== this.self || !row.uploadId) return;
    const stop = new AbortController();
    this.uploading.set(name, { stop, since: Date.now() });
    try {
      const sent = (sent_bytes: number) => {
        const now = this.rows.get(name);
        if (!now?.upload) return;
        this.rows.set(name, { ...now, upload: { ...now.upload, sent_bytes } });
        this.tell(now.conversation_id);
      };
      const own = async () => {
        if (!(await this.owns(name))) stop.abort();
      };
      const completed = await this.uploads.run(row.uploadId, { signal: stop.signal, sent, own });
      const now = this.rows.get(name);
      if (now && !stop.signal.aborted) await this.put({ ...now, state: 'sending', completed });
    } catch (e) {
      const now = this.rows.get(name);
      if (now && !stop.signal.aborted) await this.fail(now, toApiError(e));
    } finally {
      this.uploading.delete(name);
    }
    if (this.rows.has(name)) this.go(row.conversation_id);
  }
}

function entryOf(row: OutboxRow): OutboxEntry {
  const { order: _o, owner: _w, uploadId: _i, completed: _c, ...entry } = row;
  return entry;
}
