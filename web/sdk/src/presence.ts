// Who is online, of those that somebody in this program watches.
import { presenceOf } from './api.js';
import type { Connection } from './connection.js';
import type { Session } from './session.js';
import type { Presence } from './shape.js';
import type { PresenceItem } from './wire.js';

const MOST = 500;
const WAIT_MS = 100;

export class PresenceWatch implements Presence {
  private watched = new Map<number, number>();
  private known = new Map<number, PresenceItem>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private session: Session,
    private connection: Connection,
    private tell: (items: PresenceItem[]) => void,
  ) {}

  watch(ids: readonly number[]): () => void {
    for (const id of ids) this.watched.set(id, (this.watched.get(id) ?? 0) + 1);
    this.subscribe();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      for (const id of ids) {
        const left = (this.watched.get(id) ?? 1) - 1;
        if (left) this.watched.set(id, left);
        else this.watched.delete(id);
        if (!left) this.known.delete(id);
      }
      this.subscribe();
    };
  }

  get(id: number): PresenceItem | undefined {
    return this.known.get(id);
  }

  fetch(ids: number[]): Promise<PresenceItem[]> {
    return presenceOf(this.session, ids);
  }

  /** The server has told. */
  take(items: PresenceItem[]): void {
    const watched = items.filter((item) => this.watched.has(item.user_id));
    for (const item of watched) this.known.set(item.user_id, item);
    if (watched.length) this.tell(watched);
  }

  /** A new socket has no list; nor has one whose contacts have changed the right one. */
  subscribe(): void {
    this.timer ??= setTimeout(() => void this.send(), WAIT_MS);
  }

  reset(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.known.clear();
  }

  private async send(): Promise<void> {
    this.timer = undefined;
    const user_ids = [...this.watched.keys()].slice(0, MOST);
    try {
      const answer = await this.connection.request<{ presence: PresenceItem[] }>('presence_sub', {
        user_ids,
      });
      this.take(answer.presence);
    } catch {
      // the next socket subscribes again
    }
  }
}
