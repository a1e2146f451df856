// Tells the server how far this device needs no repeats: what is in the store without a hole, in one frame for many conversations.
import type { Connection } from './connection.js';

const WAIT_MS = 200;
const PER_FRAME = 500;

export class Acks {
  private acked = new Map<number, number>();
  private due = new Map<number, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private connection: Connection) {}

  note(conversation: number, top: number): void {
    if (top <= (this.acked.get(conversation) ?? 0)) return;
    this.due.set(conversation, top);
    this.timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** A new socket knows of no pushes, so nothing is due to it. */
  reset(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.acked.clear();
    this.due.clear();
  }

  private flush(): void {
    this.timer = undefined;
    if (!this.connection.online) return;
    const some = [...this.due].slice(0, PER_FRAME);
    this.connection.post('batch_ack', {
      acks: some.map(([conversation_id, seq]) => ({ conversation_id, message_id: 0, seq })),
    });
    for (const [id, seq] of some) {
      this.acked.set(id, seq);
      this.due.delete(id);
    }
    if (this.due.size) this.timer = setTimeout(() => this.flush(), WAIT_MS);
  }
}
