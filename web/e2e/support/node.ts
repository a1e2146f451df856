import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
const binary = process.env.PARLEYD ?? join(root, 'build/parleyd');
const READY_MS = 30_000;

type Conf = Record<string, string | number | boolean>;

/**
 * What every spec's node is told: free ports, cheap passwords, no limits that a fast test would meet, and none that a machine meets which
 * stands still for some seconds.
 */
const usual: Conf = {
  'http.listen': '127.0.0.1:0',
  'ws.listen': '127.0.0.1:0',
  'admin.listen': '',
  'auth.secret': 'a secret for specs, 32 bytes or more',
  'crypt.ops': 1,
  'crypt.memory': '8KiB',
  'script.timeout': '9s',
  workers: 2,
  'limits.auth_addr': '0',
  'limits.http_addr': '0',
  'limits.http_user': '0',
  'limits.handshake_addr': '0',
  'limits.ws_messages': '0',
  'limits.ws_frames': '0',
  'drain.time': '100ms',
};

/** A real node with a data directory of its own. */
export class ParleyNode {
  readonly dir = mkdtempSync(join(tmpdir(), 'parley-e2e-'));
  port = 0;
  private process: ChildProcess | undefined;
  private ended: Promise<number | null> | undefined;

  private constructor(private readonly conf: Conf) {}

  static async start(conf: Conf = {}): Promise<ParleyNode> {
    const node = new ParleyNode({ ...usual, ...conf });
    await node.up();
    return node;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it, or starts it again on the same data (its port may be another one then). */
  async up(): Promise<void> {
    const set = Object.entries({ ...this.conf, 'data.dir': this.dir });
    const args = set.flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
    child.stderr.pipe(createWriteStream(this.logPath, { flags: 'a' }));
    this.port = await this.readyPort(child);
  }

  private readyPort(child: ChildProcess): Promise<number> {
    return new Promise((resolve, reject) => {
      const give_up = (why: string) => reject(new Error(`the node is not ready: ${why}\n${this.log()}`));
      const timer = setTimeout(() => give_up('no answer'), READY_MS);
      child.once('error', (error) => give_up(String(error)));
      child.once('exit', (code) => give_up(`it ended with ${code}`));
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const port = /^parleyd ready.* http=\S+:(\d+)/.exec(line)?.[1];
        if (!port) return;
        clearTimeout(timer);
        resolve(Number(port));
      });
    });
  }

  private get logPath(): string {
    return join(this.dir, 'log');
  }
  log(): string {
    try {
      return readFileSync(this.logPath, 'utf8');
    } catch {
      return '';
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    this.process?.kill(signal);
    return (await this.ended) ?? null;
  }

  /** Ends it in order and removes its data. */
  async finish(): Promise<void> {
    const status = await this.kill('SIGTERM');
    const log = this.log();
    rmSync(this.dir, { recursive: true, force: true });
    if (status !== 0) throw new Error(`the node ended with ${status}\n${log}`);
  }
}
