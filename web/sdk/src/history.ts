// Messages of the past: from the store where it has them, else from the server, into the store.
import type { Chats } from './chats.js';
import { ApiError } from './errors.js';
import { asKnown, fromItem, rangeOf } from './rows.js';
import type { Session } from './session.js';
import type { Store } from './store.js';
import type { Message, Window, WindowOptions } from './types.js';
import type { MessageItem } from './wire.js';

const PAGE = 200;
const SEARCH_STEP = 500;

export class History {
  constructor(
    private session: Session,
    private chats: Chats,
    private store: Store,
  ) {}

  async window(id: number, options: WindowOptions = {}): Promise<Window> {
    const row = this.chats.rows.get(id);
    if (!row) throw new ApiError(403, 'not_member', 'not a conversation member');
    const count = Math.min(Math.max(options.count ?? 50, 1), PAGE);
    const told = this.chats.toldOf(id);
    if (options.after !== undefined) return this.above(id, options.after, count, told);
    const before = Math.min(options.before ?? told + 1, told + 1);
    return this.below(id, before, count);
  }

  /** Loads the newest messages instead of all that are missing. */
  async jump(id: number): Promise<void> {
    await this.fetch(id, { limit: PAGE / 2 }, true);
  }

  async find(id: number): Promise<Message | undefined> {
    const stored = await this.store.read((tx) => tx.messageById(id));
    if (stored) return stored;
    try {
      const { data } = await this.session.call<MessageItem>('GET', `/api/messages/${id}`);
      const message = fromItem(data);
      await this.chats.add(message.conversation_id, { messages: [message] });
      const row = this.chats.rows.get(message.conversation_id);
      return row ? asKnown(row, message) : message;
    } catch (e) {
      if (e instanceof ApiError && e.status === 404) return undefined;
      throw e;
    }
  }

  /** A message as the server has it now. */
  async fresh(message: Message): Promise<Message> {
    const query = message.seq > 1 ? { after_seq: message.seq - 1 } : { before_seq: 2 };
    const [now] = await this.fetch(message.conversation_id, { ...query, limit: 1 });
    if (now?.seq !== message.seq) throw new ApiError(404, 'not_found', 'message not found');
    return now;
  }

  async search(text: string, options: { conversation?: number; limit?: number } = {}): Promise<Message[]> {
    const limit = options.limit ?? 50;
    const wanted = text.toLowerCase();
    const found: Message[] = [];
    if (!wanted) return found;
    for (const row of this.chats.rows.values()) {
      if (options.conversation !== undefined && options.conversation !== row.id) continue;
      let left = limit;
      for (const [lo, hi] of [...row.ranges].reverse()) {
        for (let to = hi; to >= lo && left > 0; to -= SEARCH_STEP) {
          const from = Math.max(lo, to - SEARCH_STEP + 1);
          const some = await this.store.read((tx) => tx.messages(row.id, from, to));
          const hits = some.filter((m) => textOf(m).includes(wanted)).reverse();
          found.push(...hits.slice(0, left));
          left -= hits.length;
        }
      }
    }
    return found.sort((a, b) => b.created_at_ms - a.created_at_ms || b.seq - a.seq).slice(0, limit);
  }

  private async below(id: number, before: number, count: number): Promise<Window> {
    const last = before - 1;
    if (last < 1) return { messages: [], hasMore: false };
    const here = await this.stored(id, last, count);
    const from = here[0]?.seq ?? before;
    if (here.length === count || from === 1) return windowOf(here, from > 1);
    const older = await this.older(id, from, count - here.length, here.length > 0);
    return windowOf([...older, ...here], (older[0]?.seq ?? from) > 1);
  }

  /** Those that are here without a hole up to last; none where another client of the store has trimmed them meanwhile. */
  private async stored(id: number, last: number, count: number): Promise<Message[]> {
    const range = rangeOf(this.chats.rows.get(id)?.ranges ?? [], last);
    if (!range) return [];
    const from = Math.max(range[0], last - count + 1);
    const here = await this.store.read((tx) => tx.messages(id, from, last));
    return here.length === last - from + 1 ? here : [];
  }

  /** @param enough without a way to the server what is here will do */
  private async older(id: number, before: number, count: number, enough: boolean): Promise<Message[]> {
    try {
      const messages = await this.fetch(id, { before_seq: before, limit: Math.max(count, 50) });
      return messages.slice(-count);
    } catch (e) {
      if (enough && e instanceof ApiError && e.temporary) return [];
      throw e;
    }
  }

  private async above(id: number, after: number, count: number, told: number): Promise<Window> {
    const to = Math.min(told, after + count);
    if (to <= after) return { messages: [], hasMore: false };
    let messages = await this.stored(id, to, to - after);
    if (messages.length !== to - after) {
      const query = after > 0 ? { after_seq: after, limit: count } : { before_seq: to + 1, limit: count };
      messages = await this.fetch(id, query);
      messages = messages.filter((m) => m.seq <= to);
    }
    return windowOf(messages, (messages[messages.length - 1]?.seq ?? told) < told);
  }

  /** One page of the server, into the store. */
  private async fetch(
    id: number,
    query: { before_seq?: number; after_seq?: number; limit: number },
    jump = false,
  ): Promise<Message[]> {
    const { data } = await this.session.call<MessageItem[]>('GET', '/api/messages/history', {
      query: { conversation_id: id, ...query },
    });
    const messages = data.map(fromItem);
    await this.chats.add(id, jump ? { messages, jump } : { messages });
    const row = this.chats.rows.get(id);
    return row ? messages.map((m) => asKnown(row, m)) : messages;
  }
}

const windowOf = (messages: Message[], hasMore: boolean): Window => ({ messages, hasMore });

function textOf(m: Message): string {
  const media = m.body.image ?? m.body.file ?? m.body.audio ?? m.body.video;
  return (m.body.text?.text ?? media?.filename ?? '').toLowerCase();
}
