// The client: puts the parts together, and hands what the server pushes to the part it is for.
import { Acks } from './acks.js';
import { Auth } from './auth.js';
import { Blocks, Contacts, Groups, Users } from './api.js';
import { CallCenter } from './calls.js';
import { Chats, type RowsNote } from './chats.js';
import { Connection, type Frame } from './connection.js';
import { ConversationList } from './conversations.js';
import { ApiError, toApiError } from './errors.js';
import { Emitter } from './emitter.js';
import { FileAccess } from './files.js';
import { History } from './history.js';
import { Http } from './http.js';
import { IndexedDbStore } from './idb.js';
import { pageRtc } from './media.js';
import { MessageBox } from './messages.js';
import { Outbox, type OutboxNote } from './outbox.js';
import { Peers, type PeerNote } from './peers.js';
import { PresenceWatch } from './presence.js';
import { fromPush, type Batch } from './rows.js';
import { Session, type SessionNote } from './session.js';
import type { Calls, Conversations, Files, Messages, Presence } from './shape.js';
import { MemoryStore, type Store } from './store.js';
import { Sync } from './sync.js';
import { backoff, unique } from './timing.js';
import { Uploads } from './uploads.js';
import type { ClientEvents, ClientOptions, SocketClass, State } from './types.js';
import type { MessageRevoked, PresenceItem, PushMessage } from './wire.js';

type Note = SessionNote | RowsNote | OutboxNote | PeerNote;

export class Client extends Emitter<ClientEvents> {
  readonly device: string;
  readonly auth: Auth;
  readonly users: Users;
  readonly contacts: Contacts;
  readonly blocks: Blocks;
  readonly groups: Groups;
  readonly conversations: Conversations;
  readonly messages: Messages;
  readonly presence: Presence;
  readonly files: Files;
  readonly calls: Calls;
  private store: Store;
  private peers: Peers;
  private session: Session;
  private connection: Connection;
  private chats: Chats;
  private list: ConversationList;
  private acks: Acks;
  private sync: Sync;
  private outbox: Outbox;
  private watch: PresenceWatch;
  private center: CallCenter;
  private started = false;
  private ends: (() => void)[] = [];
  private again: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ClientOptions = {}) {
    super();
    const platform = options.platform ?? 'web';
    const base = (options.url ?? globalThis.location?.origin ?? '').replace(/\/+$/, '');
    const fetcher = options.fetch ?? globalThis.fetch.bind(globalThis);
    const Socket = options.WebSocket ?? (globalThis.WebSocket as unknown as SocketClass | undefined);
    if (!Socket) throw new TypeError('no WebSocket here: pass one as an option');
    this.device = options.device ?? `${platform}-${unique()}`;
    this.store = options.store ?? (globalThis.indexedDB ? new IndexedDbStore() : new MemoryStore());
    const fail = (e: ApiError) => this.emit('error', e);
    const http = new Http(base, this.device, fetcher);
    const peers = (this.peers = new Peers(this.store, this));
    const session = (this.session = new Session(this.store, http, peers, this, (why) => this.signed(why)));
    const connection = (this.connection = new Connection(session, http, Socket, platform, {
      state: (state) => this.emit('state', state),
      welcome: () => void this.welcome(),
      push: (frame) => this.push(frame),
    }));
    http.slow = (since) => connection.doubt(since);
    const chats = (this.chats = new Chats(this.store, session, this, {
      emit: (event, value) => this.emit(event, value),
      lacking: (id, soon) => this.sync.want(id, soon),
      stranger: (id, batch) => this.quietly(this.meet(id, batch)),
      advanced: (row) => this.acks.note(row.id, row.top),
      settled: (row, names) => this.outbox.settled(row, names),
    }));
    const history = new History(session, chats, this.store);
    const uploads = new Uploads(session, http, this.store, fetcher);
    this.list = new ConversationList(session, connection, chats, this.store);
    this.acks = new Acks(connection);
    this.sync = new Sync(connection, chats, history, options.farBehind ?? 5000, fail);
    this.outbox = new Outbox(session, connection, chats, this.store, uploads, peers, this, (id) =>
      this.emit('outbox', { conversation_id: id }),
    );
    this.watch = new PresenceWatch(session, connection, (items) => this.emit('presence', items));
    this.center = new CallCenter(connection, options.rtc ?? pageRtc(), (call) => this.emit('call', call));
    this.auth = new Auth(session, http);
    this.users = new Users(session);
    this.contacts = new Contacts(session);
    this.blocks = new Blocks(session);
    this.groups = new Groups(session, this.list);
    this.conversations = this.list;
    this.messages = new MessageBox(this, session, chats, history, this.outbox);
    this.presence = this.watch;
    this.files = new FileAccess(http, history, uploads, fetcher);
    this.calls = this.center;
  }

  /** How the client stands to the server; 'state' tells each change. */
  get state(): State {
    return this.connection.state;
  }

  /** Opens the store, takes up the login that it holds and connects. To be called once, before anything else. Needs no network. */
  async start(): Promise<void> {
    if (this.started) return;
    await this.store.open();
    this.started = true;
    this.ends.push(this.store.listen((note) => this.heard(note as Note), this));
    this.followPage();
    await this.session.load();
  }

  /** Tries at once instead of waiting for the next try (State.retryAt). */
  connect(): void {
    this.connection.now();
  }

  /** Ends the socket, timers and listeners. The login, and what waits to be sent, stay in the store. */
  async close(): Promise<void> {
    this.started = false;
    this.silence('closed');
    // others hear of it, as long as the store carries notes
    await this.outbox.stop(true);
    for (const end of this.ends.splice(0)) end();
    await this.store.close();
  }

  /** Somebody signed in or out, or has a new token. */
  private signed(why: string): void {
    if (!this.started) return;
    if (why === 'refreshed') return void this.connection.renewed();
    if (why === 'profile') return this.emit('profile', this.auth.profile);
    this.silence(why);
    void this.outbox.stop(false);
    this.chats.reset();
    if (this.session.row) this.quietly(this.enter());
    this.emit('profile', this.auth.profile);
  }

  private async enter(): Promise<void> {
    await this.chats.load();
    await this.outbox.start();
    if (this.session.row) this.connection.start();
  }

  private silence(why: string): void {
    clearTimeout(this.again);
    this.connection.stop(why);
    this.sync.stop();
    this.acks.reset();
    this.watch.reset();
    this.list.reset();
    this.center.reset();
  }

  /** A new socket: what happened without one is in the list of conversations; what lacks is fetched, what waits is sent. */
  private async welcome(tries = 0): Promise<void> {
    clearTimeout(this.again);
    this.acks.reset();
    this.watch.subscribe();
    this.outbox.run();
    this.center.online();
    this.sync.run();
    try {
      await this.list.refresh();
    } catch (e) {
      const error = toApiError(e);
      // the next user's socket has its own welcome
      if (!this.connection.online || error.code === 'signed_out') return;
      this.emit('error', error);
      const wait = error.retryAfter + backoff(tries);
      this.again = setTimeout(() => void this.welcome(tries + 1), wait);
    }
  }

  private push({ type, data }: Frame): void {
    const on = data as { conversation_id: number };
    switch (type) {
      case 'new_message':
      case 'message_resend':
        return this.quietly(
          this.chats.add(on.conversation_id, { messages: [fromPush(data as PushMessage)] }),
        );
      case 'message_revoked':
        return this.quietly(this.chats.add(on.conversation_id, { recalls: [data as MessageRevoked] }));
      case 'resync':
        return this.sync.want(on.conversation_id, false);
      case 'message_read':
        return this.emit('read', data as ClientEvents['read']);
      case 'read_sync':
        return this.quietly(this.list.readElsewhere(data as { conversation_id: number; read_seq: number }));
      case 'presence':
        return this.watch.take([data as PresenceItem]);
      case 'contact_request':
        return this.emit('contactRequest', data as ClientEvents['contactRequest']);
      case 'contact_update':
        this.watch.subscribe();
        return this.emit('contactUpdate', data as ClientEvents['contactUpdate']);
      case 'conversation_update':
        return this.quietly(this.list.updated(data as Parameters<ConversationList['updated']>[0]));
      case 'member_update':
        return this.member(data as ClientEvents['memberUpdate']);
      case 'signaling':
        return this.center.take(data as Parameters<CallCenter['take']>[0]);
    }
  }

  /** The first message of a conversation can be here before the conversation is. */
  private async meet(id: number, { messages, recalls }: Batch): Promise<void> {
    await this.list.meet(id);
    if (this.chats.rows.has(id)) await this.chats.add(id, { messages, recalls });
  }

  /** What of it concerns the list is what the list shows: how many members, and one's own role and mute. */
  private member(push: ClientEvents['memberUpdate']): void {
    const me = push.user_ids.includes(this.session.userId);
    this.quietly(
      this.chats.change(push.conversation_id, ({ brief }) => {
        brief.member_count = push.member_count;
        if (push.action === 'transferred') {
          brief.owner_id = push.user_ids[0] ?? brief.owner_id;
          if (push.operator_id === this.session.userId) brief.role = 'admin';
        }
        if (me && push.role) brief.role = push.role;
        if (me && (push.action === 'muted' || push.action === 'unmuted'))
          brief.muted_until_ms = push.until_ms;
      }),
    );
    this.emit('memberUpdate', push);
  }

  /** Another client of this store has something to tell. */
  private heard(note: Note): void {
    if (!this.started) return;
    if ('name' in note) return this.peers.heard(note);
    if (note.kind === 'session') return this.quietly(this.session.load());
    if (!this.session.row) return;
    if (note.kind === 'rows') this.chats.heard(note);
    else this.outbox.heard(note);
  }

  /** A page knows of sleep, networks and its own end. */
  private followPage(): void {
    const follow = (target: EventTarget | undefined, type: string, fn: () => void) => {
      if (typeof target?.addEventListener !== 'function') return;
      target.addEventListener(type, fn);
      this.ends.push(() => target.removeEventListener(type, fn));
    };
    const page = globalThis as unknown as EventTarget;
    follow(page, 'online', () => this.connection.now());
    follow(page, 'focus', () => this.connection.woke());
    const network = (globalThis.navigator as { connection?: EventTarget } | undefined)?.connection;
    follow(network, 'change', () => this.connection.woke());
    follow(page, 'offline', () => this.connection.lostNetwork());
    follow(page, 'pageshow', () => {
      this.connection.woke();
      this.quietly(this.outbox.takeOver());
    });
    follow(globalThis.document, 'resume', () => this.connection.woke());
    follow(globalThis.document, 'visibilitychange', () => {
      if (!document.hidden) this.connection.woke();
    });
    follow(page, 'pagehide', () => {
      const call = this.center.current;
      if (call) this.connection.post('call_hangup', { call_id: call.id });
      this.quietly(this.outbox.release());
    });
  }

  private quietly(work: Promise<unknown>): void {
    work.catch((e) => this.emit('error', toApiError(e)));
  }
}
