// The rows of the contract's section 6 as methods, by subject. Each is one HTTP call and throws ApiError; ids are those of the wire.
import type { Query } from './http.js';
import type { Session } from './session.js';
import type {
  AddedMembers,
  BlockedUser,
  Contact,
  ContactRequest,
  ConversationBrief,
  JoinMode,
  JoinRequest,
  Member,
  Page,
  PresenceItem,
  UserBrief,
  UserProfile,
} from './wire.js';

export interface PageOptions {
  /** next_cursor of the page before. */
  cursor?: string;
  limit?: number;
}

/** What each group of methods has: calls in the name of the user. */
class Rows {
  /** @internal */
  constructor(protected session: Session) {}

  protected async get<T>(path: string, query?: Query): Promise<T> {
    return (await this.session.call<T>('GET', path, query ? { query } : {})).data;
  }

  protected async page<T>(path: string, query: Query = {}): Promise<Page<T>> {
    const answer = await this.session.call<T[]>('GET', path, { query });
    const page: Page<T> = { data: answer.data, next_cursor: answer.next_cursor ?? '' };
    if (answer.total !== undefined) page.total = answer.total;
    return page;
  }

  /** All pages of a list. */
  protected async whole<T>(path: string, limit: number): Promise<T[]> {
    const all: T[] = [];
    for (let cursor = ''; ;) {
      const page = await this.page<T>(path, { cursor, limit });
      all.push(...page.data);
      if (!(cursor = page.next_cursor)) return all;
    }
  }

  protected async send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
    return (await this.session.call<T>(method, path, body === undefined ? {} : { body })).data;
  }
}

const query = (page: PageOptions): Query => ({ cursor: page.cursor, limit: page.limit });

export class Users extends Rows {
  /** The account as the server has it now. */
  async me(): Promise<UserProfile> {
    return this.keep(await this.get<UserProfile>('/api/users/me'));
  }

  /** Empty texts change nothing. @param changes avatar_url: at most 512 bytes */
  async update(changes: {
    display_name?: string;
    avatar_url?: string;
    clear_avatar?: boolean;
  }): Promise<UserProfile> {
    return this.keep(await this.send<UserProfile>('PUT', '/api/users/me', changes));
  }

  /** Binds a phone; the code comes by Auth.sendCode. Errors: invalid_credentials, phone_taken. */
  async setPhone(phone: string, code: string): Promise<UserProfile> {
    return this.keep(await this.send<UserProfile>('PUT', '/api/users/me/phone', { phone, code }));
  }

  find(id: number): Promise<UserBrief> {
    return this.get(`/api/users/${id}`);
  }

  /** Exact id or username first, then beginnings of names. @param text 1 to 64 characters */
  search(text: string, page: PageOptions = {}): Promise<Page<UserBrief>> {
    return this.page('/api/users/search', { q: text, ...query(page) });
  }

  private async keep(profile: UserProfile): Promise<UserProfile> {
    await this.session.setProfile(profile);
    return profile;
  }
}

export class Contacts extends Rows {
  /** All of them, by id. */
  list(): Promise<Contact[]> {
    return this.whole('/api/contacts', 500);
  }

  /** Newest first. */
  requests(
    direction: 'incoming' | 'outgoing' = 'incoming',
    status: 'pending' | 'all' = 'pending',
    page: PageOptions = {},
  ): Promise<Page<ContactRequest>> {
    return this.page('/api/contacts/requests', { direction, status, ...query(page) });
  }

  /** Asks; 'accepted' if they had asked, too. @param remark 0 to 255 characters, shown to them. Errors: already_contact, blocked. */
  async apply(userId: number, remark = ''): Promise<'pending' | 'accepted'> {
    const body = { target_user_id: userId, remark };
    return (await this.send<{ status: 'pending' | 'accepted' }>('POST', '/api/contacts/apply', body)).status;
  }

  /** Answers the request of that user. */
  async answer(userId: number, accept: boolean): Promise<void> {
    await this.send('POST', '/api/contacts/handle', { target_user_id: userId, accept });
  }

  /** @param remark 0 to 64 characters */
  remark(userId: number, remark: string): Promise<Contact> {
    return this.send('PUT', `/api/contacts/${userId}/remark`, { remark });
  }

  async remove(userId: number): Promise<void> {
    await this.send('DELETE', `/api/contacts/${userId}`);
  }
}

export class Blocks extends Rows {
  list(): Promise<BlockedUser[]> {
    return this.whole('/api/blocks', 500);
  }

  async add(userId: number): Promise<void> {
    await this.send('POST', '/api/blocks', { user_id: userId });
  }

  async remove(userId: number): Promise<void> {
    await this.send('DELETE', `/api/blocks/${userId}`);
  }
}

/** Where a changed conversation goes: the server tells one's other devices of it, never the one that did it. */
export interface Shelf {
  take(brief: ConversationBrief): Promise<ConversationBrief>;
  drop(id: number): Promise<void>;
}

/** Groups, and what only members of the right role may do there. Errors: forbidden, not_member, dissolved. */
export class Groups extends Rows {
  /** @internal */
  constructor(
    session: Session,
    private shelf: Shelf,
  ) {
    super(session);
  }

  /** @param title 0 to 64 characters. Errors: not_found, group_full, blocked. */
  create(title: string, memberIds: number[]): Promise<ConversationBrief> {
    return this.kept('POST', '/api/conversations', { type: 2, title, member_ids: memberIds });
  }

  /** Owner and admins; empty or absent: unchanged. */
  update(
    id: number,
    changes: { title?: string; avatar_url?: string; join_mode?: JoinMode },
  ): Promise<ConversationBrief> {
    return this.kept('PUT', `/api/conversations/${id}`, changes);
  }

  /** Owner only; final. */
  async dissolve(id: number): Promise<void> {
    await this.send('DELETE', `/api/conversations/${id}`);
    await this.shelf.take(await this.get(`/api/conversations/${id}`));
  }

  /** @param text 0 to 2000 characters */
  announce(id: number, text: string): Promise<ConversationBrief> {
    return this.kept('PUT', `/api/conversations/${id}/announcement`, { text });
  }

  muteAll(id: number, enabled: boolean): Promise<ConversationBrief> {
    return this.kept('PUT', `/api/conversations/${id}/mute_all`, { enabled });
  }

  /** One's own name in the group. @param nickname 0 to 64 characters */
  nickname(id: number, nickname: string): Promise<Member> {
    return this.send('PUT', `/api/conversations/${id}/nickname`, { nickname });
  }

  /** Owner, admins, then by join time. Of a single chat, too. */
  members(id: number): Promise<Member[]> {
    return this.whole(`/api/conversations/${id}/members`, 500);
  }

  /** @param userIds 1 to 100 */
  add(id: number, userIds: number[]): Promise<AddedMembers> {
    return this.send('POST', `/api/conversations/${id}/members`, { user_ids: userIds });
  }

  async remove(id: number, userId: number): Promise<void> {
    await this.send('DELETE', `/api/conversations/${id}/members/${userId}`);
  }

  /** The owner of a live group transfers or dissolves it first. */
  async leave(id: number): Promise<void> {
    await this.send('POST', `/api/conversations/${id}/leave`);
    await this.shelf.drop(id);
  }

  /** Owner only. */
  role(id: number, userId: number, role: 'admin' | 'member'): Promise<Member> {
    return this.send('PUT', `/api/conversations/${id}/members/${userId}/role`, { role });
  }

  /** Owner only: makes that member the owner and oneself an admin. */
  transfer(id: number, userId: number): Promise<ConversationBrief> {
    return this.kept('POST', `/api/conversations/${id}/transfer`, { user_id: userId });
  }

  /** @param untilMs unix ms, at most 365 days ahead; not in the future: unmutes */
  mute(id: number, userId: number, untilMs: number): Promise<Member> {
    return this.send('PUT', `/api/conversations/${id}/members/${userId}/mute`, { until_ms: untilMs });
  }

  /** @param message 0 to 255 characters, for those who decide */
  async join(id: number, message = ''): Promise<'joined' | 'pending'> {
    const path = `/api/conversations/${id}/join`;
    return (await this.send<{ status: 'joined' | 'pending' }>('POST', path, { message })).status;
  }

  /** Who asks to join; owner and admins. */
  requests(id: number, page: PageOptions = {}): Promise<Page<JoinRequest>> {
    return this.page(`/api/conversations/${id}/requests`, query(page));
  }

  answer(id: number, requestId: number, accept: boolean): Promise<JoinRequest> {
    return this.send('POST', `/api/conversations/${id}/requests/${requestId}`, { accept });
  }

  private async kept(method: 'POST' | 'PUT', path: string, body: unknown): Promise<ConversationBrief> {
    return this.shelf.take(await this.send<ConversationBrief>(method, path, body));
  }
}

/** The state of any users now. Watching them: Presence. */
export function presenceOf(session: Session, ids: number[]): Promise<PresenceItem[]> {
  return session
    .call<PresenceItem[]>('GET', '/api/presence', { query: { user_ids: ids.join(',') } })
    .then((answer) => answer.data);
}
