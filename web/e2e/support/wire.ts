import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * The network between one browser and the node, so that a spec can cut it, or let it swallow everything as a sleeping
 * machine or a dead link does. The page's address is this one's: the node behind it may be started again elsewhere.
 */
export class Wire {
  private readonly pairs = new Set<[Socket, Socket]>();
  private readonly forgotten = new WeakSet<Socket>();
  private server: Server | undefined;
  private state: 'up' | 'cut' | 'stalled' = 'up';
  port = 0;

  private constructor(private readonly target: () => number) {}

  static async to(target: () => number): Promise<Wire> {
    const wire = new Wire(target);
    wire.server = createServer((near) => wire.join(near));
    await new Promise<void>((resolve) => wire.server!.listen(0, '127.0.0.1', resolve));
    wire.port = (wire.server.address() as AddressInfo).port;
    return wire;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  private join(near: Socket): void {
    if (this.state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.target(), '127.0.0.1');
    const pair: [Socket, Socket] = [near, far];
    this.pairs.add(pair);
    for (const [socket, other] of [pair, [far, near]] as const) {
      socket.setNoDelay(true).on('error', () => socket.destroy());
      socket.on('close', () => {
        this.pairs.delete(pair);
        if (!this.forgotten.has(near)) other.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
    if (this.state === 'stalled') this.hold(pair);
  }

  private hold([near, far]: [Socket, Socket]): void {
    near.unpipe(far);
    far.unpipe(near);
    near.pause();
    far.pause();
  }

  /** All connections end, new ones are refused. */
  cut(): void {
    this.state = 'cut';
    for (const [near, far] of this.pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** All connections end once; new ones are served. */
  drop(): void {
    this.cut();
    this.state = 'up';
  }

  /** Nothing passes any more, and nobody is told. */
  stall(): void {
    this.state = 'stalled';
    for (const pair of this.pairs) this.hold(pair);
  }

  /** What was open is known to nobody any more, so its next bytes are answered by a reset; new connections are served. */
  forget(): void {
    this.state = 'up';
    for (const [near, far] of this.pairs) {
      this.forgotten.add(near);
      near.unpipe(far);
      far.destroy();
      near.on('data', () => near.resetAndDestroy()).resume();
    }
  }

  /** As it was; what was held goes on. */
  mend(): void {
    this.state = 'up';
    for (const [near, far] of this.pairs) {
      near.pipe(far);
      far.pipe(near);
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server!.close(resolve));
  }
}
