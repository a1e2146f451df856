// The client: puts the parts together and tells a program what happens.
import { Auth } from './auth.js';
import { Blocks, Contacts, Groups, Users } from './api.js';
import { Emitter } from './emitter.js';
import { Http } from './http.js';
import { Session, type SessionNote } from './session.js';
import { MemoryStore, type Store } from './store.js';
import { unique } from './timing.js';
import type { ClientEvents, ClientOptions, State } from './types.js';

export class Client extends Emitter<ClientEvents> {
  readonly device: string;
  readonly auth: Auth;
  readonly users: Users;
  readonly contacts: Contacts;
  readonly blocks: Blocks;
  readonly groups: Groups;
  private store: Store;
  private session: Session;
  private current: State = { name: 'signed-out', reason: '', retryAt: 0 };
  private stopListening: () => void = () => {};

  constructor(options: ClientOptions = {}) {
    super();
    this.device = options.device ?? `${options.platform ?? 'web'}-${unique()}`;
    this.store = options.store ?? new MemoryStore();
    const base = (options.url ?? globalThis.location?.origin ?? '').replace(/\/+$/, '');
    const http = new Http(base, this.device, options.fetch ?? globalThis.fetch.bind(globalThis));
    this.session = new Session(this.store, http, this, () => this.emit('profile', this.auth.profile));
    this.auth = new Auth(this.session, http);
    this.users = new Users(this.session);
    this.contacts = new Contacts(this.session);
    this.blocks = new Blocks(this.session);
    this.groups = new Groups(this.session, { take: async (brief) => brief, drop: async () => {} });
  }

  /** How the client stands to the server; 'state' tells each change. */
  get state(): State {
    return this.current;
  }

  /** Opens the store and takes up the login that it holds. To be called once, before anything else. Needs no network. */
  async start(): Promise<void> {
    await this.store.open();
    this.stopListening = this.store.listen((note) => {
      if ((note as SessionNote).kind === 'session') void this.session.load();
    }, this);
    await this.session.load();
  }

  /** Ends sockets, timers and listeners. What waits to be sent stays in the store. */
  async close(): Promise<void> {
    this.stopListening();
    await this.store.close();
  }
}
