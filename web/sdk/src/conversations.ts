// The list of conversations and how far each has been read.
import type { Shelf } from './api.js';
import type { Chats } from './chats.js';
import { takeBrief } from './chats.js';
import type { Connection } from './connection.js';
import { ApiError, toApiError } from './errors.js';
import { mergeBrief, readUpTo, type ConversationRow } from './rows.js';
import { signedOut, type Session } from './session.js';
import type { Conversations } from './shape.js';
import type { Store } from './store.js';
import type { ConversationBrief } from './wire.js';

/** Reading goes to the server at most this often; the last position is what counts. */
const READ_MS = 200;

interface ConversationPush {
  conversation_id: number;
  action: 'created' | 'updated' | 'settings' | 'dissolved' | 'removed';
  conversation: ConversationBrief | null;
}

export class ConversationList implements Conversations, Shelf {
  loaded = false;
  /** What pushes have changed while a list is on its way: they know better. */
  private touched = new Set<number>();
  private refreshing: Promise<void> | null = null;
  private meeting = new Map<number, Promise<void>>();
  private unsent = new Map<number, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private session: Session,
    private connection: Connection,
    private chats: Chats,
    private store: Store,
  ) {}

  get list(): readonly ConversationBrief[] {
    return this.chats.list;
  }

  get(id: number): ConversationBrief | undefined {
    return this.chats.rows.get(id)?.brief;
  }

  async open(userId: number): Promise<ConversationBrief> {
    const body = { type: 1, member_ids: [userId] };
    return this.take(
      (await this.session.call<ConversationBrief>('POST', '/api/conversations', { body })).data,
    );
  }

  async settings(id: number, changes: { pinned?: boolean; muted?: boolean }): Promise<ConversationBrief> {
    const path = `/api/conversations/${id}/settings`;
    return this.take((await this.session.call<ConversationBrief>('PUT', path, { body: changes })).data);
  }

  read(id: number, seq = Infinity): void {
    const brief = this.get(id);
    const to = Math.min(seq, brief?.latest_seq ?? 0);
    if (!brief || to <= brief.read_seq) return;
    void this.chats.change(id, (row) => readUpTo(row.brief, to));
    this.send(id, to);
  }

  refresh(): Promise<void> {
    if (this.refreshing) return this.refreshing;
    const mine = this.load().finally(() => {
      if (this.refreshing === mine) this.refreshing = null;
    });
    return (this.refreshing = mine);
  }

  take(brief: ConversationBrief): Promise<ConversationBrief> {
    this.touched.add(brief.id);
    return this.chats.take(brief);
  }

  drop(id: number): Promise<void> {
    this.touched.add(id);
    return this.chats.drop(id);
  }

  /** The server's word on one that is not known here, or not in its list. */
  async look(id: number): Promise<void> {
    try {
      await this.take((await this.session.call<ConversationBrief>('GET', `/api/conversations/${id}`)).data);
    } catch (e) {
      if (e instanceof ApiError && e.code === 'not_member') await this.drop(id);
      else throw e;
    }
  }

  /** Something came for one that is not known: wait for the list that is on its way, if there is one, else ask. */
  meet(id: number): Promise<void> {
    const asked = this.meeting.get(id) ?? this.introduce(id).finally(() => this.meeting.delete(id));
    this.meeting.set(id, asked);
    return asked;
  }

  private async introduce(id: number): Promise<void> {
    await this.refreshing?.catch(() => {});
    if (!this.chats.rows.has(id)) await this.look(id);
  }

  async updated(push: ConversationPush): Promise<void> {
    const { conversation_id: id, conversation } = push;
    if (push.action === 'removed') return this.drop(id);
    if (!conversation) return;
    this.touched.add(id);
    if (push.action === 'created' || push.action === 'settings') await this.take(conversation);
    else await this.chats.change(id, (row) => (row.brief = mergeBrief(row.brief, conversation)));
  }

  /** Another device of the user has read, or sent. */
  async readElsewhere(push: { conversation_id: number; read_seq: number }): Promise<void> {
    await this.chats.change(push.conversation_id, ({ brief }) => {
      brief.latest_seq = Math.max(brief.latest_seq, push.read_seq);
      readUpTo(brief, push.read_seq);
    });
  }

  reset(): void {
    this.loaded = false;
    this.refreshing = null;
    this.unsent.clear();
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async load(): Promise<void> {
    this.touched.clear();
    const briefs: ConversationBrief[] = [];
    for (let cursor = ''; ;) {
      const page = await this.session.call<ConversationBrief[]>('GET', '/api/conversations', {
        query: { cursor, limit: 500 },
      });
      briefs.push(...page.data);
      if (!(cursor = page.next_cursor ?? '')) break;
    }
    const login = this.session.row?.login;
    const rows = await this.merge(briefs, login);
    if (!rows || login !== this.session.row?.login) throw signedOut();
    this.loaded = true;
    this.chats.putAll(rows);
    this.sendUnsent(rows, briefs);
    // a conversation may slip from one page to another while we read them, so none is dropped unasked
    const listed = new Set(briefs.map((brief) => brief.id));
    for (const id of [...this.chats.rows.keys()]) {
      if (!listed.has(id) && !this.touched.has(id)) await this.look(id);
    }
  }

  /** Into the store. In the first list ever what is there counts as told; in one that is new later, what is read. */
  private merge(briefs: ConversationBrief[], login?: string): Promise<ConversationRow[] | undefined> {
    return this.store.write(async (tx) => {
      if (!(await this.session.holds(tx, login))) return undefined;
      const later = await tx.get<boolean>('meta', 'listed');
      tx.put('meta', 'listed', true);
      const rows: ConversationRow[] = [];
      for (const brief of briefs) {
        const known = await tx.get<ConversationRow>('conversations', brief.id);
        if (this.touched.has(brief.id) && !known) continue;
        const { latest_seq, latest_change, read_seq, last_message, updated_at_ms } = brief;
        const counts = { latest_seq, latest_change, read_seq, last_message, updated_at_ms };
        const now = known && this.touched.has(brief.id) ? { ...known.brief, ...counts } : brief;
        rows.push(await takeBrief(tx, now, later ? read_seq : latest_seq));
      }
      return rows;
    });
  }

  /** What was read here while there was no way to tell. */
  private sendUnsent(rows: ConversationRow[], briefs: ConversationBrief[]): void {
    const server = new Map(briefs.map((brief) => [brief.id, brief.read_seq]));
    for (const { id, brief } of rows) {
      if (brief.read_seq > (server.get(id) ?? Infinity)) this.send(id, brief.read_seq);
    }
  }

  private send(id: number, seq: number): void {
    this.unsent.set(id, Math.max(seq, this.unsent.get(id) ?? 0));
    this.timer ??= setTimeout(() => void this.flush(), READ_MS);
  }

  private async flush(): Promise<void> {
    this.timer = undefined;
    for (const [conversation_id, read_seq] of [...this.unsent]) {
      if (!this.connection.online) return;
      this.unsent.delete(conversation_id);
      try {
        await this.connection.request('read', { conversation_id, read_seq });
      } catch (e) {
        const error = toApiError(e);
        // without a socket the next list tells the difference
        if (!error.temporary || error.code === 'network') continue;
        this.unsent.set(conversation_id, Math.max(read_seq, this.unsent.get(conversation_id) ?? 0));
        this.timer ??= setTimeout(() => void this.flush(), Math.max(error.retryAfter, READ_MS));
      }
    }
  }
}
