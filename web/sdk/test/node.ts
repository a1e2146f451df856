// A real node for the specs: its own directory, free ports, cheap password hashing; and people who use it.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { Client, MemoryStore, type ClientOptions, type SocketClass } from '../src/index.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const binary = process.env['PARLEYD'] ?? join(root, 'build/parleyd');
export const Socket = WebSocket as unknown as SocketClass;

export class TestNode {
  readonly dir = mkdtempSync(join(tmpdir(), 'parley-sdk-'));
  http = '';
  private child: ChildProcess | null = null;
  private ending = false;
  private ports: Record<string, string> = { 'http.listen': '127.0.0.1:0', 'ws.listen': '127.0.0.1:0' };

  constructor(private conf: Record<string, string> = {}) {}

  static async start(conf: Record<string, string> = {}): Promise<TestNode> {
    const node = new TestNode(conf);
    await node.up();
    return node;
  }

  get url(): string {
    return `http://${this.http}`;
  }

  /** Starts it, on the same ports as before where it ran before. */
  async up(): Promise<void> {
    const set = {
      'data.dir': this.dir,
      'admin.listen': '',
      'auth.secret': 'a secret for specs, 32 bytes or more',
      'crypt.ops': '1',
      'crypt.memory': '8KiB',
      // longer than a machine in trouble stands still
      'script.timeout': '9s',
      workers: '2',
      'limits.auth_addr': '0',
      'limits.http_addr': '0',
      'limits.http_user': '0',
      'limits.handshake_addr': '0',
      'drain.time': '100ms',
      ...this.ports,
      ...this.conf,
    };
    const args = Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const log = openSync(join(this.dir, 'log'), 'a');
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', log] });
    this.child = child;
    this.ending = false;
    child.on('exit', (code, signal) => {
      if (!this.ending) console.error(`the node ended by itself: ${code ?? signal}\n${this.log()}`);
    });
    const line = await new Promise<string>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`the node ended with ${code}\n${this.log()}`)));
      createInterface({ input: child.stdout! }).on('line', (text) => {
        if (text.startsWith('parleyd ready')) resolve(text);
      });
    });
    this.http = /http=(\S+)/.exec(line)![1]!;
    this.ports = { 'http.listen': this.http, 'ws.listen': /ws=(\S+)/.exec(line)![1]! };
  }

  /** As a power cut would. */
  async crash(): Promise<void> {
    await this.end('SIGKILL');
  }

  async finish(): Promise<void> {
    await this.end('SIGTERM');
    rmSync(this.dir, { recursive: true, force: true });
  }

  log(): string {
    return readFileSync(join(this.dir, 'log'), 'utf8');
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    this.ending = true;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}

let people = 0;

/** A client of a new user, signed in and online. */
export async function person(url: string, options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = new Client({ url, WebSocket: Socket, store: new MemoryStore(100_000), ...options });
  await client.start();
  const username = `u${process.pid}.${++people}.${Date.now() % 1_000_000}`;
  await client.auth.register({ username, password: 'correct horse 9' });
  await until(() => client.state.name === 'online' && client.conversations.loaded);
  return client;
}

export const idOf = (client: Client): number => client.auth.profile!.user.id;

/** A socket that holds the server to its order: pushes rise, and no message is revoked before it was pushed, if it ever is. */
export class StrictSocket extends WebSocket {
  static broken: string[] = [];
  private last = new Map<number, number>();
  private change = new Map<number, number>();
  private revoked = new Set<string>();

  constructor(url: string, protocols?: string[]) {
    super(url, protocols);
    this.on('message', (bytes) => this.judge(JSON.parse(String(bytes)) as PushFrame));
  }

  private judge({ type, data }: PushFrame): void {
    const { conversation_id: id, seq, change } = data ?? {};
    if (type === 'new_message') {
      if (seq <= (this.last.get(id) ?? 0))
        this.fault(`${seq} of ${id} was pushed after ${this.last.get(id)}`);
      if (this.revoked.has(`${id} ${seq}`)) this.fault(`${seq} of ${id} was revoked, then pushed`);
      this.last.set(id, seq);
    } else if (type === 'message_revoked') {
      if (change <= (this.change.get(id) ?? 0)) this.fault(`change ${change} of ${id} came late`);
      this.change.set(id, change);
      this.revoked.add(`${id} ${seq}`);
    }
  }

  private fault(what: string): void {
    StrictSocket.broken.push(what);
  }
}

interface PushFrame {
  type: string;
  data: { conversation_id: number; seq: number; change: number };
}

/** Waits until something is so: the only way in which a spec waits. */
export async function until<T>(
  check: () => T | Promise<T>,
  what = check.toString(),
  ms = 60_000,
): Promise<Exclude<T, false | null | undefined>> {
  const till = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value as Exclude<T, false | null | undefined>;
    if (Date.now() > till) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a client is told of a conversation, as it is told. */
export class Ear {
  readonly seqs: number[] = [];
  readonly texts: string[] = [];
  resets = 0;

  constructor(client: Client, conversation: number) {
    client.on('messages', (e) => {
      if (e.conversation_id !== conversation) return;
      for (const m of e.messages) {
        this.seqs.push(m.seq);
        this.texts.push(m.body.text?.text ?? '');
      }
    });
    client.on('reset', (e) => {
      if (e.conversation_id === conversation) this.resets++;
    });
  }
}
