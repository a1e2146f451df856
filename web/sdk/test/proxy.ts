// A TCP proxy that behaves like a bad line: it delays, cuts and swallows, by a seed.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Numbers from 0 to 1 that a seed repeats. */
export function random(seed: number): () => number {
  let x = seed % 2_147_483_647 || 1;
  return () => (x = (x * 48_271) % 2_147_483_647) / 2_147_483_647;
}

export class BadLine {
  /** What happens to a chunk, in chances. */
  cut = 0;
  swallow = 0;
  delay = 0;
  /** So many of each, then the line is a good one: a run ends. */
  most = { cuts: 20, swallowed: 3 };
  /** No new connections. */
  down = false;
  /** Everything is swallowed, of new connections too: nobody is told of it. */
  dead = false;
  cuts = 0;
  swallowed = 0;
  private server: Server;
  private sockets = new Set<Socket>();

  constructor(
    private target: () => string,
    private roll: () => number,
  ) {
    this.server = createServer((near) => this.join(near));
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cutAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(near: Socket): void {
    if (this.down) return void near.destroy();
    const [host, port] = this.target().split(':');
    const far = connect(Number(port), host!);
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    const fate = { dead: false };
    this.pass(near, far, fate);
    this.pass(far, near, fate);
  }

  private pass(from: Socket, to: Socket, fate: { dead: boolean }): void {
    // One list and one timer for all that waits: timers of their own would fire in any order, and a line never swaps bytes.
    const waiting: { due: number; chunk: Buffer; last: boolean }[] = [];
    let due = 0;
    const carry = (): void => {
      while (waiting.length && waiting[0]!.due <= Date.now() && !fate.dead) {
        const { chunk, last } = waiting.shift()!;
        fate.dead = last;
        to.write(chunk, () => last && from.destroy());
      }
      if (waiting.length && !fate.dead) setTimeout(carry, waiting[0]!.due - Date.now());
    };
    let ends = false;
    from.on('data', (chunk: Buffer) => {
      const roll = this.roll();
      if (fate.dead || ends || this.dead) return;
      if (roll < this.cut && this.cuts < this.most.cuts) {
        this.cuts++;
        ends = true;
        // half of it arrives: a frame in pieces
        chunk = chunk.subarray(0, chunk.length >> 1);
      } else if (roll > 1 - this.swallow && this.swallowed < this.most.swallowed) {
        // from now on the line takes everything and carries nothing
        this.swallowed++;
        fate.dead = true;
        return;
      }
      due = Math.max(due, Date.now() + (this.roll() < this.delay ? this.roll() * 60 : 0));
      waiting.push({ due, chunk, last: ends });
      if (waiting.length === 1) setTimeout(carry, due - Date.now());
    });
  }
}
