// The one socket: opens it, notices when it is dead, opens the next one, and pairs requests with their replies.
import { ApiError, toApiError } from './errors.js';
import type { Http } from './http.js';
import type { Session } from './session.js';
import { backoff } from './timing.js';
import type { SocketClass, SocketLike, State } from './types.js';

export interface Frame {
  type: string;
  id?: string;
  data?: unknown;
}

export interface Welcome {
  ping_interval_ms: number;
  max_frame_bytes: number;
}

/** What the owner of the connection hears. */
export interface ConnectionHost {
  state(state: State): void;
  /** The socket is ready; every push comes after this. */
  welcome(): void;
  push(frame: Frame): void;
}

interface Waiting {
  resolve(data: unknown): void;
  reject(error: ApiError): void;
  timer: ReturnType<typeof setTimeout>;
  /** Unix ms. */
  since: number;
  /** The parts of an answer that comes in several frames. */
  parts: unknown[];
}

const TICK_MS = 1000;
const HANDSHAKE_MS = 10_000;
const PROBE_MS = 5000;
const REPLY_MS = 15_000;
/** A tick that comes this late tells that the machine or the page slept. */
const SLEPT_MS = 15_000;
/** A socket that lived less long than this does not make the next wait short again. */
const STABLE_MS = 3000;
const PONG_MS = 6000;
/** Where there is a reason to doubt the socket. */
const DOUBT_PONG_MS = 4000;
/** Something was asked so long ago and nothing at all has come since: the reason. */
const DOUBT_MS = 2000;

const reasons: Record<number, string> = { 1008: 'policy', 1012: 'restart', 4002: 'replaced', 4003: 'slow' };

export class Connection {
  maxFrame = 65_536;
  /** Unix ms of the welcome; 0 without a socket. */
  onlineSince = 0;
  private current: State = { name: 'signed-out', reason: '', retryAt: 0 };
  private wanted = false;
  private socket: SocketLike | null = null;
  /** Numbers the tries: what belongs to an earlier one is ignored. */
  private turn = 0;
  private tries = 0;
  private token = '';
  private login = '';
  private heard = 0;
  private pinged = 0;
  private pongMs = PONG_MS;
  private pingMs = 30_000;
  private waiting = new Map<string, Waiting>();
  private nextId = 0;
  private slow: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private ticker: ReturnType<typeof setInterval> | undefined;
  private ticked = 0;

  constructor(
    private session: Session,
    private http: Http,
    private Socket: SocketClass,
    private platform: string,
    private host: ConnectionHost,
  ) {}

  get state(): State {
    return this.current;
  }

  get online(): boolean {
    return this.current.name === 'online';
  }

  /** From now on there shall be a socket. */
  start(): void {
    if (this.wanted) return;
    this.wanted = true;
    this.tries = 0;
    this.ticked = Date.now();
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    void this.open();
  }

  /** No socket any more. */
  stop(reason: string): void {
    this.wanted = false;
    clearInterval(this.ticker);
    this.drop(1000);
    this.set({ name: 'signed-out', reason, retryAt: 0 });
  }

  /** Tries at once, if there is no socket and no try under way. */
  now(): void {
    if (!this.wanted || this.socket || this.current.name === 'connecting') return;
    this.tries = 0;
    void this.open();
  }

  /** The page was away: is the socket still one? */
  woke(): void {
    if (!this.online) return this.now();
    this.ping(DOUBT_PONG_MS);
  }

  /** A call beside the socket has no answer yet, either. */
  doubt(since: number): void {
    if (this.online && this.heard <= since) this.ping(DOUBT_PONG_MS);
  }

  /** The machine says that it has no network. */
  lostNetwork(): void {
    if (this.wanted && this.socket) this.lost(new ApiError(0, 'network', 'no network'));
  }

  /** Sends a frame and waits for its reply, 15 s at most. Throws ApiError; 'network' and 'timeout' leave open what became of it. */
  request<T>(type: string, data: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.online) return reject(new ApiError(0, 'network', 'not connected'));
      const id = `${++this.nextId}`;
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new ApiError(0, 'timeout', 'no reply in time'));
      }, REPLY_MS);
      const since = Date.now();
      this.waiting.set(id, { resolve: resolve as (data: unknown) => void, reject, timer, since, parts: [] });
      this.write({ type, id, data });
    });
  }

  /** Sends a frame that needs no reply, if there is a socket. */
  post(type: string, data: unknown): void {
    if (this.online) this.write({ type, data });
  }

  private async renew(): Promise<void> {
    await this.session.renew(this.token).catch(() => {});
    await this.renewed();
  }

  /** There is a new token: the socket shall live as long as that. */
  async renewed(): Promise<void> {
    const row = this.session.row;
    if (!this.online || !row || row.access === this.token) return;
    this.token = row.access;
    try {
      await this.request('auth', { token: row.access });
      this.login = row.login;
    } catch {
      // the socket keeps what it had; its end says the rest
    }
  }

  private set(state: State): void {
    this.current = state;
    this.host.state(state);
  }

  private write(frame: Frame): void {
    try {
      this.socket?.send(JSON.stringify(frame));
    } catch {
      // a socket that is closing: its end comes next
    }
  }

  private async open(): Promise<void> {
    const turn = ++this.turn;
    clearTimeout(this.retry);
    this.set({ name: 'connecting', reason: this.current.reason, retryAt: 0 });
    let token: string;
    try {
      token = await this.session.token();
    } catch (e) {
      if (turn === this.turn && this.wanted) this.lost(toApiError(e));
      return;
    }
    if (turn !== this.turn || !this.wanted || !this.session.row) return;
    this.token = token;
    this.login = this.session.row.login;
    try {
      this.listen(turn, this.connect(token));
    } catch (e) {
      this.lost(new ApiError(0, 'network', String(e)));
    }
  }

  private connect(token: string): SocketLike {
    const query = `?device_id=${this.http.device}&platform=${this.platform}`;
    return new this.Socket(this.http.base.replace(/^http/, 'ws') + '/ws' + query, ['bearer', token]);
  }

  private listen(turn: number, socket: SocketLike): void {
    this.socket = socket;
    const mine = (fn: () => void) => () => turn === this.turn && fn();
    this.slow = setTimeout(
      mine(() => void this.refused(turn)),
      HANDSHAKE_MS,
    );
    socket.onmessage = (event: { data: unknown }) => {
      if (turn !== this.turn) return;
      clearTimeout(this.slow);
      this.receive(String(event.data));
    };
    socket.onerror = () => {};
    socket.onclose = (event: { code: number }) => {
      if (turn !== this.turn) return;
      if (this.online) void this.closed(event.code);
      else void this.refused(turn);
    };
  }

  private receive(text: string): void {
    this.heard = Date.now();
    let frame: Frame;
    try {
      frame = JSON.parse(text) as Frame;
    } catch {
      return;
    }
    const waiting = frame.id === undefined ? undefined : this.waiting.get(frame.id);
    if (waiting) return this.reply(frame, waiting);
    const status = frame.type === 'notify' ? (frame.data as { status?: string }).status : undefined;
    if (status === 'connected') this.welcomed(frame.data as Welcome);
    else if (status === 'token_expiring') void this.renew();
    else this.host.push(frame);
  }

  private welcomed(welcome: Welcome): void {
    this.pingMs = welcome.ping_interval_ms || this.pingMs;
    this.maxFrame = welcome.max_frame_bytes || this.maxFrame;
    this.onlineSince = Date.now();
    this.pinged = 0;
    this.set({ name: 'online', reason: '', retryAt: 0 });
    this.host.welcome();
    void this.renewed();
  }

  private reply(frame: Frame, waiting: Waiting): void {
    const data = frame.data as { partial?: boolean } | null | undefined;
    waiting.parts.push(frame.data);
    if (frame.type === 'sync_resp' && data?.partial) return;
    this.waiting.delete(frame.id!);
    clearTimeout(waiting.timer);
    if (frame.type === 'error') waiting.reject(frameError(frame.data));
    else waiting.resolve(frame.type === 'sync_resp' ? waiting.parts : frame.data);
  }

  private tick(): void {
    const now = Date.now();
    const slept = now - this.ticked > SLEPT_MS;
    this.ticked = now;
    if (slept) return this.woke();
    if (!this.online) return;
    if (this.pinged > this.heard) {
      if (now - this.pinged > this.pongMs)
        this.lost(new ApiError(0, 'network', 'the server does not answer'));
    } else if (now - this.heard >= this.pingMs) this.ping(Math.min(PONG_MS, this.pingMs));
    else {
      const oldest = this.waiting.values().next().value?.since ?? now;
      if (now - oldest >= DOUBT_MS) this.doubt(oldest);
    }
  }

  private ping(pongMs: number): void {
    this.pongMs = pongMs;
    if (this.pinged > this.heard) return;
    this.pinged = Math.max(Date.now(), this.heard + 1);
    this.write({ type: 'ping' });
  }

  /** A socket that never got its welcome. A page is not told why, so a plain call asks: tokens, limits and load are the same there. */
  private async refused(turn: number): Promise<void> {
    this.drop();
    const next = this.turn;
    try {
      await this.session.call('GET', '/api/users/me', { deadline: PROBE_MS });
      if (next === this.turn && this.wanted)
        this.lost(new ApiError(0, 'network', `handshake ${turn} refused`));
    } catch (e) {
      if (next === this.turn && this.wanted) this.lost(toApiError(e));
    }
  }

  private async closed(code: number): Promise<void> {
    const error = new ApiError(0, 'network', `closed with ${code}`);
    if (code === 4002) {
      this.drop();
      return this.set({ name: 'offline', reason: 'replaced', retryAt: 0 });
    }
    if (code === 4004 && this.session.row?.login === this.login) return this.loggedOut();
    if (code === 4001) {
      this.drop();
      const turn = this.turn;
      await this.session.renew(this.token).catch(() => {});
      if (turn !== this.turn || !this.wanted) return;
    }
    const wait = code === 1012 ? Math.random() * 10_000 : code === 1008 ? 60_000 + backoff(5) : 0;
    this.lost(error, reasons[code], wait);
  }

  /** The login was ended: by another tab, which has told the store, or from elsewhere. */
  private async loggedOut(): Promise<void> {
    this.drop();
    await this.session.load();
    await this.session.call('GET', '/api/users/me', { deadline: PROBE_MS }).catch(() => {});
    if (this.session.row?.login === this.login) await this.session.end('revoked', false);
    else this.now();
  }

  /** There is no way to the server now: what waits for a reply fails, and the next try gets its time. */
  private lost(error: ApiError, reason?: string, wait = 0): void {
    const lived = this.onlineSince ? Date.now() - this.onlineSince : 0;
    this.tries = lived > STABLE_MS ? 0 : this.tries;
    this.drop();
    if (!this.wanted || error.code === 'signed_out') return;
    const ms = (wait || error.retryAfter) + (wait ? 0 : backoff(this.tries++));
    this.retry = setTimeout(() => void this.open(), ms);
    const busy = error.code === 'busy' || error.code === 'rate_limited';
    this.set({
      name: busy ? 'busy' : 'offline',
      reason: reason ?? (busy ? error.code : 'network'),
      retryAt: Date.now() + ms,
    });
  }

  private drop(code?: number): void {
    const socket = this.socket;
    this.turn++;
    this.socket = null;
    this.onlineSince = 0;
    clearTimeout(this.slow);
    clearTimeout(this.retry);
    if (this.current.name === 'online') this.current = { name: 'offline', reason: '', retryAt: 0 };
    for (const [id, waiting] of this.waiting) {
      this.waiting.delete(id);
      clearTimeout(waiting.timer);
      waiting.reject(new ApiError(0, 'network', 'the socket is gone'));
    }
    try {
      socket?.close(code);
    } catch {
      // it is closed already
    }
  }
}

export function frameError(data: unknown): ApiError {
  const d = data as { error?: string; code?: string; retry_after_ms?: number };
  return new ApiError(0, d.code ?? 'bad_answer', d.error ?? 'error', d.retry_after_ms ?? 0);
}
