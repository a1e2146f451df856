// A part of a conversation as a screen shows it: a window of the past, and what happens from then on.
import type { Client } from './client.js';
import { toApiError, type ApiError } from './errors.js';
import { Emitter } from './emitter.js';
import type { Timeline } from './shape.js';
import type { Message, OutboxEntry, Window } from './types.js';

/** A message leaves the outbox within so many others. */
const RECENT = 500;

type Change = 'newer' | 'older' | 'changed' | 'outbox' | 'reset';

export class LiveTimeline extends Emitter<{ change: Change }> implements Timeline {
  messages: readonly Message[] = [];
  hasOlder = true;
  atEnd = true;
  loading = false;
  error: ApiError | null = null;
  private off: (() => void)[];
  /** Numbers the places shown: what was asked for an earlier one is dropped. */
  private place = 0;
  /** What is told while newer ones are on their way; null: nothing is. */
  private late: Message[] | null = null;

  constructor(
    private client: Client,
    readonly conversation: number,
  ) {
    super();
    const mine =
      <T extends { conversation_id: number }>(fn: (value: T) => void) =>
      (value: T) => {
        if (value.conversation_id === conversation) fn(value);
      };
    this.off = [
      client.on(
        'messages',
        mine((e: { conversation_id: number; messages: Message[] }) => this.append(e.messages)),
      ),
      client.on(
        'changed',
        mine((e: { conversation_id: number; messages: Message[] }) => this.replace(e.messages)),
      ),
      client.on(
        'outbox',
        mine(() => this.emit('change', 'outbox')),
      ),
      client.on(
        'reset',
        mine(() => void (this.atEnd && this.toEnd())),
      ),
    ];
    void this.toEnd();
  }

  /** Without those that are among the messages already: of a message that another tab has sent the push may be here sooner than its note. */
  get pending(): readonly OutboxEntry[] {
    const waiting = this.client.messages.outbox(this.conversation);
    if (!waiting.length) return waiting;
    const me = this.client.auth.profile?.user.id;
    const own = this.messages.slice(-RECENT).filter((m) => m.sender_id === me);
    const shown = new Set(own.map((m) => m.client_msg_id));
    return waiting.filter((entry) => !shown.has(entry.client_msg_id));
  }

  async older(count = 50): Promise<number> {
    const first = this.messages[0];
    if (this.loading || !this.hasOlder || !first) return 0;
    const window = await this.load({ before: first.seq, count });
    if (!window) return 0;
    this.messages = [...window.messages, ...this.messages];
    this.hasOlder = window.hasMore;
    this.emit('change', 'older');
    return window.messages.length;
  }

  async newer(count = 50): Promise<number> {
    const last = this.messages[this.messages.length - 1];
    if (this.loading || this.atEnd || !last) return 0;
    const window = await this.load({ after: last.seq, count });
    if (!window) return 0;
    this.messages = [...this.messages, ...window.messages];
    if (window.hasMore) this.late = null;
    else this.reachEnd();
    this.emit('change', 'newer');
    return window.messages.length;
  }

  async jump(seq: number, count = 50): Promise<void> {
    this.place++;
    const half = Math.ceil(count / 2);
    const below = await this.load({ before: seq, count: half });
    if (!below) return;
    const above = await this.load({ after: seq - 1, count: half });
    if (!above) return;
    this.messages = [...below.messages, ...above.messages];
    this.hasOlder = below.hasMore;
    this.atEnd = false;
    if (above.hasMore) this.late = null;
    else this.reachEnd();
    this.emit('change', 'reset');
  }

  async toEnd(count = 50): Promise<void> {
    this.place++;
    this.atEnd = true;
    const window = await this.load({ count });
    if (!window) return;
    this.messages = window.messages;
    this.hasOlder = window.hasMore;
    this.reachEnd();
    this.emit('change', 'reset');
  }

  trim(count: number): void {
    if (!this.atEnd || this.messages.length <= count) return;
    this.messages = this.messages.slice(-count);
    this.hasOlder = true;
    this.emit('change', 'older');
  }

  close(): void {
    this.place++;
    for (const off of this.off) off();
  }

  private async load(options: { before?: number; after?: number; count: number }): Promise<Window | null> {
    const place = this.place;
    this.loading = true;
    this.error = null;
    this.late = options.before === undefined ? [] : null;
    try {
      const window = await this.client.messages.window(this.conversation, options);
      return place === this.place ? window : null;
    } catch (e) {
      if (place === this.place) this.failed(toApiError(e));
      return null;
    } finally {
      if (place === this.place) this.loading = false;
    }
  }

  private failed(error: ApiError): void {
    this.loading = false;
    this.error = error;
    if (this.atEnd) this.reachEnd();
    this.emit('change', 'changed');
  }

  /** What is shown meets what is told from now on. */
  private reachEnd(): void {
    const late = this.late ?? [];
    this.atEnd = true;
    this.late = null;
    this.append(late);
  }

  private append(messages: Message[]): void {
    // bounded: what is told while one page is on its way
    if (this.late) return void this.late.push(...messages);
    if (!this.atEnd || !messages.length) return;
    const last = this.messages[this.messages.length - 1]?.seq ?? 0;
    const fresh = messages.filter((m) => m.seq > last);
    if (!fresh.length) return;
    if (last && fresh[0]!.seq !== last + 1) return void this.toEnd();
    this.messages = [...this.messages, ...fresh];
    this.emit('change', 'newer');
  }

  private replace(messages: Message[]): void {
    const by = new Map(messages.map((m) => [m.seq, m]));
    this.messages = this.messages.map((m) => by.get(m.seq) ?? m);
    this.late = this.late?.map((m) => by.get(m.seq) ?? m) ?? null;
    this.emit('change', 'changed');
  }
}
