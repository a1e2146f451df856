// Closes gaps: one sync frame at a time for all conversations that lack something, again and again until nothing lacks.
import type { Chats } from './chats.js';
import { lacks } from './chats.js';
import { ApiError, toApiError } from './errors.js';
import type { History } from './history.js';
import { fromPush } from './rows.js';
import { backoff, sleep } from './timing.js';
import type { Connection } from './connection.js';
import type { PushMessage } from './wire.js';

/** Bounds the frame: two points of at most 35 bytes each for a conversation, 64 KiB in all. */
const POINTS = 500;
const PER_CONVERSATION = 200;
/** An ack may overtake pushes with lower seqs, so a gap gets this long to close by itself. */
const SOON_MS = 250;

interface SyncPart {
  messages: Record<string, PushMessage[]>;
  has_more: Record<string, boolean>;
  latest_seqs: Record<string, number>;
  latest_changes: Record<string, number>;
  read_seqs: Record<string, number>;
  changes: { conversation_id: number; change: number; kind: string; seq: number }[];
  denied: number[];
}

export class Sync {
  private wanted = new Set<number>();
  private soon = new Set<number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  constructor(
    private connection: Connection,
    private chats: Chats,
    private history: History,
    private farBehind: number,
    private failed: (error: ApiError) => void,
  ) {}

  /** Something lacks there. @param soon look again in a moment before asking */
  want(id: number, soon: boolean): void {
    if (!soon) {
      this.wanted.add(id);
      return this.run();
    }
    this.soon.add(id);
    this.timer ??= setTimeout(() => this.look(), SOON_MS);
  }

  /** There is a socket: what waited goes on. */
  run(): void {
    if (this.running || !this.wanted.size || !this.connection.online) return;
    this.running = true;
    void this.loop().finally(() => {
      this.running = false;
      this.run();
    });
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.wanted.clear();
    this.soon.clear();
  }

  private look(): void {
    this.timer = undefined;
    for (const id of this.soon) {
      const row = this.chats.rows.get(id);
      if (row && lacks(row)) this.wanted.add(id);
    }
    this.soon.clear();
    this.run();
  }

  private async loop(): Promise<void> {
    // whoever wants a sync now shall be in the first frame
    await Promise.resolve();
    for (let failures = 0; this.wanted.size && this.connection.online;) {
      const ids = [...this.wanted].slice(0, POINTS);
      for (const id of ids) this.wanted.delete(id);
      try {
        if (await this.round(ids)) failures = 0;
        else await sleep(backoff(failures++, 200));
      } catch (e) {
        for (const id of ids) this.wanted.add(id);
        const error = toApiError(e);
        if (!error.temporary) this.failed(error);
        await sleep(error.retryAfter + backoff(failures++));
      }
    }
  }

  /** Answers whether anything came that was not there. */
  private async round(ids: number[]): Promise<boolean> {
    const sync_points: Record<string, number> = {};
    const change_points: Record<string, number> = {};
    for (const id of ids) {
      const row = this.chats.rows.get(id);
      if (!row) continue;
      if (row.brief.latest_seq - row.top > this.farBehind) await this.history.jump(id);
      sync_points[id] = this.chats.rows.get(id)?.top ?? row.top;
      change_points[id] = row.change;
    }
    if (!Object.keys(sync_points).length) return true;
    const parts = await this.connection.request<SyncPart[]>('sync', {
      sync_points,
      change_points,
      limit: PER_CONVERSATION,
    });
    let moved = false;
    for (const part of parts) moved = (await this.take(part)) || moved;
    return moved;
  }

  private async take(part: SyncPart): Promise<boolean> {
    for (const id of part.denied) await this.chats.drop(id);
    const moves = await Promise.all(
      Object.keys(part.latest_seqs).map(async (key) => {
        const id = Number(key);
        const before = this.chats.rows.get(id);
        const changes = part.latest_changes[key] ?? 0;
        const messages = (part.messages[key] ?? []).map(fromPush);
        const recalls = part.changes.filter((c) => c.conversation_id === id);
        await this.chats.add(id, { messages, recalls });
        const row = this.chats.rows.get(id);
        if (!row) return false;
        const more = part.has_more[key] || changes > row.change || (part.latest_seqs[key] ?? 0) > row.top;
        if (more) this.wanted.add(id);
        return row.top !== before?.top || row.change !== before.change || !more;
      }),
    );
    return moves.some(Boolean);
  }
}
