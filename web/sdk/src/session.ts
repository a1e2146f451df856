// Who is signed in: the token pair, kept in the store and shared by all who share it. A refresh token works once, so whoever
// wants a new pair first takes a lease in the store; the others wait and take over what it got, or the lease of one that lives no more.
import { ApiError } from './errors.js';
import type { Answer, CallInit, Http } from './http.js';
import type { Peers } from './peers.js';
import type { Store, Tx } from './store.js';
import { sleep, unique } from './timing.js';
import type { AuthPayload, UserProfile } from './wire.js';

/** What the store keeps under 'session'. */
export interface SessionRow {
  /** Names the login, over all its token pairs. */
  login: string;
  access: string;
  refresh: string;
  /** Unix ms by this machine's clock. */
  expiresAt: number;
  profile: UserProfile;
}

/** A token with less life than this is refreshed before it is used. */
const FRESH_MS = 20_000;
/** Longer than any exchange takes: a holder that lives still has it no longer than this. */
const LEASE_MS = 30_000;
/** Short, so that a new try comes while the server still repeats a lost answer. */
const REFRESH_MS = 4000;

export type SessionNote = { kind: 'session' };

interface Lease {
  by: string;
  until: number;
}

export class Session {
  row: SessionRow | null = null;
  private refreshing: Promise<SessionRow> | null = null;

  /**
   * @param changed called with why, each time somebody signed in ('') or out, or the pair is a new one ('refreshed')
   */
  constructor(
    private store: Store,
    private http: Http,
    private peers: Peers,
    private owner: object,
    private changed: (why: string) => void,
  ) {}

  get userId(): number {
    return this.row?.profile.user.id ?? 0;
  }

  /** Reads what the store has: at the start, and when somebody else has changed it. */
  async load(): Promise<void> {
    const row = (await this.store.read((tx) => tx.get<SessionRow>('meta', 'session'))) ?? null;
    const before = this.row;
    this.row = row;
    if (row?.login !== before?.login) this.changed(row ? '' : 'logout');
    else if (row && row.access !== before?.access) this.changed('refreshed');
  }

  /** Takes over a login. What the store has of another user is forgotten. */
  async begin(payload: AuthPayload): Promise<void> {
    const row = { ...rowOf(payload), login: unique() };
    await this.store.write(async (tx) => {
      const last = await tx.get<number>('meta', 'user');
      if (last !== row.profile.user.id) tx.clear();
      tx.put('meta', 'user', row.profile.user.id);
      tx.put('meta', 'session', row);
    });
    this.row = row;
    this.tell();
    this.changed('');
  }

  /** @param forget also what was kept of the user's conversations and messages */
  async end(why: string, forget: boolean): Promise<void> {
    const login = this.row?.login;
    this.row = null;
    const done = this.store.write(async (tx) => {
      const row = await tx.get<SessionRow>('meta', 'session');
      if (row && row.login !== login) return;
      if (forget) tx.clear();
      tx.delete('meta', 'session');
    });
    // at once: nothing that is on its way in may be taken for the next user's
    this.changed(why);
    await done;
    this.tell();
  }

  async setProfile(profile: UserProfile): Promise<void> {
    await this.store.write(async (tx) => {
      const row = await tx.get<SessionRow>('meta', 'session');
      if (row && row.profile.user.id === profile.user.id) tx.put('meta', 'session', { ...row, profile });
    });
    if (this.row) this.row = { ...this.row, profile };
    this.tell();
    this.changed('profile');
  }

  /** An access token with some life left. Throws 'signed_out', or what kept the refresh from working. */
  async token(): Promise<string> {
    if (!this.row) throw signedOut();
    if (this.row.expiresAt - Date.now() > FRESH_MS) return this.row.access;
    return this.renew(this.row.access);
  }

  /** A token that is not this one, which the server has refused or will soon. */
  async renew(stale: string): Promise<string> {
    if (!this.row) throw signedOut();
    if (this.row.access !== stale) return this.row.access;
    this.refreshing ??= this.refresh(stale).finally(() => (this.refreshing = null));
    return (await this.refreshing).access;
  }

  /** A call in the name of the user. Throws 'signed_out' when the answer comes and that login is over: it is not for the next user. */
  async call<T>(method: string, path: string, init: CallInit = {}): Promise<Answer<T>> {
    const login = this.row?.login;
    const answer = await this.twice<T>(method, path, init);
    if (this.row?.login !== login) throw signedOut();
    return answer;
  }

  /** In a transaction: the store is still that login's. */
  async holds(tx: Tx, login: string | undefined): Promise<boolean> {
    return !!login && (await tx.get<SessionRow>('meta', 'session'))?.login === login;
  }

  /** One new try with a new token if the first was refused. */
  private async twice<T>(method: string, path: string, init: CallInit): Promise<Answer<T>> {
    const token = await this.token();
    try {
      return await this.http.call<T>(method, path, { ...init, token });
    } catch (e) {
      if (!(e instanceof ApiError)) throw e;
      if (e.code === 'user_disabled') await this.end('user_disabled', false);
      if (e.status !== 401) throw e;
      return this.http.call<T>(method, path, { ...init, token: await this.renew(token) });
    }
  }

  private async refresh(stale: string): Promise<SessionRow> {
    for (let dead = ''; ;) {
      const row = await this.store.write((tx) => this.lease(tx, stale, dead));
      if (row === null) {
        await this.load();
        throw signedOut();
      }
      if ('by' in row) {
        if (await this.peers.alive(row.by)) await sleep(100);
        else dead = row.by;
      } else if (row.access !== stale) return this.adopt(row);
      else {
        const renewed = await this.exchange(row);
        if (renewed) return renewed;
      }
    }
  }

  /** In a transaction: the row, with the lease taken if its token is the stale one; or the lease of another, unless that one is dead. */
  private async lease(tx: Tx, stale: string, dead: string): Promise<SessionRow | null | Lease> {
    const row = await tx.get<SessionRow>('meta', 'session');
    if (!row) return null;
    if (row.access !== stale) return row;
    const lease = await tx.get<Lease>('meta', 'refresh');
    const now = Date.now();
    const { self } = this.peers;
    const free = !lease || lease.by === self || lease.by === dead;
    if (!free && lease.until > now && lease.until <= now + LEASE_MS) return lease;
    tx.put('meta', 'refresh', { by: self, until: now + LEASE_MS } satisfies Lease);
    return row;
  }

  /** The lease is still ours: nobody has taken this client for dead. */
  private async leased(): Promise<boolean> {
    const lease = await this.store.read((tx) => tx.get<Lease>('meta', 'refresh'));
    return lease?.by === this.peers.self;
  }

  private async endLease(tx: Tx): Promise<void> {
    const lease = await tx.get<Lease>('meta', 'refresh');
    if (lease?.by === this.peers.self) tx.delete('meta', 'refresh');
  }

  /**
   * Uses the refresh token; the lease is ours. An answer that got lost is asked for again at once: the server repeats it for 10 s.
   * Null: the lease went to another.
   */
  private async exchange(row: SessionRow): Promise<SessionRow | null> {
    for (let n = 0; ; n++) {
      if (n > 0 && !(await this.leased())) return null;
      try {
        const body = { refresh_token: row.refresh };
        const init = { body, deadline: REFRESH_MS };
        const payload = (await this.http.call<AuthPayload>('POST', '/api/auth/refresh', init)).data;
        return await this.replace(row, { ...rowOf(payload), login: row.login });
      } catch (e) {
        const error = e as ApiError;
        if (error.status === 401 || error.code === 'user_disabled') {
          // another client of the store may have signed out, and says why
          await this.load();
          const why = error.code === 'token_expired' ? 'expired' : reasonOf(error);
          if (this.row?.login === row.login) await this.end(why, false);
          throw error;
        }
        if ((error.code === 'network' || error.code === 'timeout') && n < 3) await sleep(300 * (n + 1));
        else {
          await this.store.write((tx) => this.endLease(tx));
          throw error;
        }
      }
    }
  }

  private async replace(old: SessionRow, row: SessionRow): Promise<SessionRow> {
    const now = await this.store.write(async (tx) => {
      await this.endLease(tx);
      const there = await tx.get<SessionRow>('meta', 'session');
      // what another has got meanwhile is the newer pair
      if (there?.login !== old.login || there.refresh !== old.refresh) return there;
      tx.put('meta', 'session', row);
      return row;
    });
    this.tell();
    return this.adopt(now?.login === old.login ? now : row);
  }

  private adopt(row: SessionRow): SessionRow {
    this.row = row;
    this.changed('refreshed');
    return row;
  }

  private tell(): void {
    this.store.post({ kind: 'session' } satisfies SessionNote, this.owner);
  }
}

function rowOf(payload: AuthPayload): Omit<SessionRow, 'login'> {
  return {
    access: payload.access_token,
    refresh: payload.refresh_token,
    expiresAt: Date.now() + payload.expires_in * 1000,
    profile: payload.profile,
  };
}

function reasonOf(error: ApiError): string {
  return error.code === 'user_disabled' ? 'user_disabled' : 'revoked';
}

export function signedOut(): ApiError {
  return new ApiError(401, 'signed_out', 'nobody is signed in');
}
