// The socket's life, with a clock and sockets of our own.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Client, MemoryStore, type SocketLike, type State } from '../src/index.js';

/** A socket that does what the spec says. */
class FakeSocket implements SocketLike {
  static all: FakeSocket[] = [];
  onopen = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror = null;
  sent: { type: string; id?: string; data?: Record<string, unknown> }[] = [];
  closed = false;
  /** Answers pings. */
  lively = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    const frame = JSON.parse(text) as FakeSocket['sent'][0];
    this.sent.push(frame);
    if (frame.type === 'ping' && this.lively) queueMicrotask(() => this.get({ type: 'pong' }));
    // what every client asks at its beginning
    if (frame.type === 'presence_sub') {
      const data = { status: 'ok', presence: [], rejected: [] };
      queueMicrotask(() => this.get({ type: 'notify', id: frame.id, data }));
    }
  }

  close(): void {
    this.closed = true;
  }

  get(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) } as never);
  }

  welcome(): void {
    this.get({
      type: 'notify',
      data: { status: 'connected', ping_interval_ms: 30_000, max_frame_bytes: 65_536 },
    });
  }

  end(code: number): void {
    this.onclose?.({ code } as never);
  }
}

const last = () => FakeSocket.all[FakeSocket.all.length - 1]!;
const profile = { user: { id: 5, username: 'ann', display_name: 'Ann', avatar_url: '' }, status: 'active' };

/** What the server answers to plain calls. */
let answers: Record<string, () => { status: number; body: unknown; retryAfter?: string }>;
const payload = (n: number) => ({
  access_token: `a${n}`,
  refresh_token: `r${n}`,
  expires_in: 900,
  token_type: 'Bearer',
  profile,
});

const fetcher: typeof fetch = async (input) => {
  const path = new URL(String(input)).pathname;
  const answer = answers[path]?.();
  if (!answer) throw new TypeError('no network');
  await (answer.body as Promise<unknown>);
  const headers = answer.retryAfter ? { 'Retry-After': answer.retryAfter } : {};
  return new Response(JSON.stringify(answer.body), {
    status: answer.status,
    headers: headers as HeadersInit,
  });
};

/** Moves the clock on until it is so; the limit is of real time. */
const comes = (check: () => boolean) => vi.waitUntil(check, { timeout: 30_000, interval: 5 });

describe('a connection', () => {
  let client: Client;
  let states: State[];

  beforeEach(async () => {
    vi.useFakeTimers();
    FakeSocket.all = [];
    answers = {
      '/api/auth/login': () => ({ status: 200, body: payload(1) }),
      '/api/auth/refresh': () => ({ status: 200, body: payload(2) }),
      '/api/users/me': () => ({ status: 200, body: { code: 0, message: 'success', data: profile } }),
      '/api/conversations': () => ({
        status: 200,
        body: { code: 0, message: 'success', data: [], next_cursor: '' },
      }),
    };
    client = new Client({
      url: 'http://chat.example',
      WebSocket: FakeSocket,
      fetch: fetcher,
      store: new MemoryStore(),
    });
    states = [];
    client.on('state', (state) => states.push(state));
    await client.start();
    await client.auth.login('ann', 'correct horse 9');
    await comes(() => FakeSocket.all.length === 1);
    last().welcome();
  });

  afterEach(async () => {
    await client.close();
    vi.useRealTimers();
  });

  /** What is asked at the beginning has its answers. */
  const settled = () => vi.advanceTimersByTimeAsync(1000);

  /** As long as this is the socket, and then until there is another. */
  async function another(ms: number): Promise<FakeSocket> {
    const before = FakeSocket.all.length;
    for (let t = 0; t <= ms; t += 100) {
      if (FakeSocket.all.length > before) return last();
      await vi.advanceTimersByTimeAsync(100);
    }
    throw new Error(`no other socket within ${ms} ms`);
  }

  it('carries its token where no log sees it, and names its device', () => {
    expect(last().url).toContain(`device_id=${client.device}`);
    expect(last().url).toMatch(/^ws:\/\/chat\.example\/ws\?/);
    expect(last().url).not.toContain('a1');
    expect(last().protocols).toEqual(['bearer', 'a1']);
    expect(client.state).toEqual({ name: 'online', reason: '', retryAt: 0 });
  });

  it('comes back soon after a cut, and waits longer each time that fails, 30 s at most', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const waits: number[] = [];
    last().end(1006);
    for (let n = 0; n < 9; n++) {
      waits.push(client.state.retryAt - Date.now());
      const socket = await another(31_000);
      socket.end(1006);
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    vi.restoreAllMocks();
  });

  it('spreads the tries: any wait from none to the longest', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    last().end(1006);
    expect(client.state.retryAt - Date.now()).toBe(0);
    vi.restoreAllMocks();
  });

  it('pings when it hears nothing, and takes a silent socket for dead', async () => {
    const socket = last();
    await vi.advanceTimersByTimeAsync(31_000);
    expect(socket.sent.some((f) => f.type === 'ping')).toBe(true);
    socket.get({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(client.state.name).toBe('online');
    await vi.advanceTimersByTimeAsync(11_000);
    await another(12_000);
    expect(socket.closed).toBe(true);
    expect(states.map((s) => s.name)).toContain('offline');
  });

  it('asks nothing but one ping in 30 s while nothing happens', async () => {
    last().lively = true;
    await settled();
    const before = last().sent.length;
    await vi.advanceTimersByTimeAsync(600_000);
    const { sent } = last();
    expect(FakeSocket.all.length).toBe(1);
    expect(sent.slice(before).every((f) => f.type === 'ping')).toBe(true);
    expect(sent.length - before).toBeLessThanOrEqual(20);
  });

  it('takes a line for dead within 8 s when it answers nothing of what is asked', async () => {
    await settled();
    const lost = client['connection'].request('read', {}).catch((e: unknown) => e);
    await vi.advanceTimersByTimeAsync(8000);
    expect(client.state.name).not.toBe('online');
    expect(await lost).toMatchObject({ code: 'network' });
  });

  it('takes it for dead as soon when it is a plain call that waits', async () => {
    await settled();
    answers['/api/contacts'] = () => ({ status: 200, body: new Promise(() => {}) });
    void client.contacts.list().catch(() => {});
    await vi.advanceTimersByTimeAsync(8000);
    expect(client.state.name).not.toBe('online');
  });

  it('keeps a line that answers late, or that brings something else meanwhile', async () => {
    await settled();
    const late = client['connection'].request('read', {});
    await vi.advanceTimersByTimeAsync(5000);
    const ping = last().sent.filter((f) => f.type === 'ping');
    expect(ping.length).toBe(1);
    last().get({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(9000);
    expect(client.state.name).toBe('online');
    last().get({
      type: 'notify',
      id: last().sent.find((f) => f.type === 'read')!.id,
      data: { status: 'ok' },
    });
    expect(await late).toMatchObject({ status: 'ok' });
    expect(FakeSocket.all.length).toBe(1);
  });

  it('asks at once whether the socket lives when the machine has slept', async () => {
    const socket = last();
    vi.setSystemTime(Date.now() + 3_600_000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.sent.filter((f) => f.type === 'ping').length).toBe(1);
    await another(6000);
    expect(socket.closed).toBe(true);
  });

  it('does not come back when another socket of its device has replaced it, until it is told to', async () => {
    last().end(4002);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(FakeSocket.all.length).toBe(1);
    expect(client.state).toEqual({ name: 'offline', reason: 'replaced', retryAt: 0 });
    client.connect();
    await another(1000);
  });

  it('waits a minute after a closing for abuse, and up to ten seconds after a restart', async () => {
    last().end(1008);
    expect(client.state.reason).toBe('policy');
    expect(client.state.retryAt - Date.now()).toBeGreaterThanOrEqual(60_000);
    (await another(100_000)).welcome();
    last().end(1012);
    expect(client.state.reason).toBe('restart');
    expect(client.state.retryAt - Date.now()).toBeLessThanOrEqual(10_000);
    await another(11_000);
  });

  it('refreshes an expired token before it comes back', async () => {
    last().end(4001);
    const socket = await another(2000);
    expect(socket.protocols).toEqual(['bearer', 'a2']);
  });

  it('gives the socket a new token before the old one ends', async () => {
    last().get({ type: 'notify', data: { status: 'token_expiring', expires_in_sec: 60 } });
    await comes(() => last().sent.some((f) => f.type === 'auth'));
    expect(last().sent.find((f) => f.type === 'auth')!.data).toEqual({ token: 'a2' });
  });

  it('is signed out when the login has been ended elsewhere', async () => {
    const gone = { status: 401, body: { error: 'invalid token', code: 'token_revoked', request_id: '' } };
    answers['/api/users/me'] = () => gone;
    answers['/api/auth/refresh'] = () => gone;
    last().end(4004);
    await comes(() => client.state.name === 'signed-out');
    expect(client.state.reason).toBe('revoked');
    expect(client.auth.profile).toBeNull();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(FakeSocket.all.length).toBe(1);
  });

  it('says logout, too, where it is refused new tokens because another client of its store has signed out', async () => {
    answers['/api/auth/refresh'] = () => {
      void client['store'].write(async (tx) => tx.clear());
      return { status: 401, body: { error: 'invalid token', code: 'token_revoked', request_id: '' } };
    };
    last().end(4001);
    await comes(() => client.state.name === 'signed-out');
    expect(client.state.reason).toBe('logout');
  });

  it('is signed out by a logout before the server hears of it', async () => {
    const store = client['store'];
    let left: unknown = 'nothing asked';
    let token: unknown;
    client['session']['http'].call = async (_method, path, init) => {
      left = path === '/api/auth/logout' && (await store.read((tx) => tx.get('meta', 'session')));
      token = init?.token;
      throw new TypeError('no network');
    };
    await client.auth.logout();
    expect([left, token]).toEqual([undefined, 'a1']);
    expect(client.state).toMatchObject({ name: 'signed-out', reason: 'logout' });
  });

  it('says that the server is busy, and waits as long as that asks', async () => {
    answers['/api/users/me'] = () => ({
      status: 503,
      body: { error: 'server busy', code: 'busy' },
      retryAfter: '7',
    });
    last().end(1006);
    (await another(2000)).end(1006);
    await comes(() => client.state.name === 'busy');
    expect(client.state.retryAt - Date.now()).toBeGreaterThanOrEqual(6900);
  });

  it('fails what waits for a reply when the socket goes, and what gets none in time', async () => {
    const connection = client['connection'];
    const cut = connection.request('read', {}).catch((e: unknown) => e);
    last().end(1006);
    expect(await cut).toMatchObject({ code: 'network' });
    (await another(2000)).welcome();
    last().lively = true;
    const late = connection.request('read', {}).catch((e: unknown) => e);
    await vi.advanceTimersByTimeAsync(15_100);
    expect(await late).toMatchObject({ code: 'timeout' });
  });

  it('hears what becomes of a call that comes in one piece with the reply that names it', async () => {
    const starting = client.calls.start(7);
    await comes(() => last().sent.some((f) => f.type === 'signaling'));
    const { id } = last().sent.find((f) => f.type === 'signaling')!;
    const servers = { stun_servers: [], turn_servers: [] };
    const rejected = { action: 'call_rejected', from_user: 7, payload: { reason: 'busy' } };
    last().get({ type: 'notify', id, data: { call_id: 'c', status: 'ringing', ...servers } });
    last().get({ type: 'signaling', data: { ...rejected, call_id: 'another' } });
    last().get({ type: 'signaling', data: { ...rejected, call_id: 'c' } });
    expect(await starting).toMatchObject({ id: 'c', state: 'ended', reason: 'busy' });
    expect(client.calls.current).toBeNull();
  });

  it('joins the parts of an answer that comes in several frames', async () => {
    const answer = client['connection'].request('sync', {});
    const { id } = last().sent.find((f) => f.type === 'sync')!;
    last().get({ type: 'sync_resp', id, data: { partial: true, n: 1 } });
    last().get({ type: 'sync_resp', id, data: { partial: false, n: 2 } });
    expect(await answer).toEqual([
      { partial: true, n: 1 },
      { partial: false, n: 2 },
    ]);
  });
});
