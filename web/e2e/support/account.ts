/** An account seen through the HTTP API: for what a spec needs to be there, not for what it is about. */
export class Account {
  private sent = 0;

  private constructor(
    private readonly address: () => string,
    readonly name: string,
    readonly display: string,
    readonly id: number,
    readonly token: string,
  ) {}

  static readonly PASSWORD = 'correct horse 9';

  static async register(address: () => string, name: string, display: string): Promise<Account> {
    const body = { username: name, password: Account.PASSWORD, display_name: display };
    const data = await ask(address(), 'POST', '/api/auth/register', body);
    return new Account(address, name, display, data.profile.user.id, data.access_token);
  }

  /** The `data` of the answer; throws on anything but success. */
  api(method: string, path: string, body?: unknown): Promise<any> {
    return ask(this.address(), method, path, body, this.token);
  }

  async befriend(other: Account): Promise<void> {
    await this.api('POST', '/api/contacts/apply', { target_user_id: other.id });
    await other.api('POST', '/api/contacts/handle', { target_user_id: this.id, accept: true });
  }

  /** The single chat with another one: its id. */
  async chat(other: Account): Promise<number> {
    return (await this.api('POST', '/api/conversations', { type: 1, member_ids: [other.id] })).id;
  }

  async group(title: string, others: Account[]): Promise<number> {
    const member_ids = others.map((one) => one.id);
    return (await this.api('POST', '/api/conversations', { type: 2, title, member_ids })).id;
  }

  async say(conversation: number, text: string, reply_to = 0): Promise<{ id: number; seq: number }> {
    this.sent += 1;
    const client_msg_id = `${this.name}-${this.sent}-${Date.now()}`;
    return this.api('POST', '/api/messages', {
      conversation_id: conversation,
      client_msg_id,
      text,
      reply_to,
    });
  }

  /** A page of the conversation from behind seq `after` up; recalled messages have no text. */
  async history(
    conversation: number,
    after: number,
  ): Promise<{ texts: string[]; last: number; more: boolean }> {
    const query = `conversation_id=${conversation}&limit=200&${after ? `after_seq=${after}` : 'before_seq=201'}`;
    const items: { seq: number; body: { text?: { text: string } } }[] = await this.api(
      'GET',
      `/api/messages/history?${query}`,
    );
    return {
      texts: items.map((item) => item.body.text?.text ?? ''),
      last: items.at(-1)?.seq ?? after,
      more: items.length === 200,
    };
  }

  /** Many messages, one after the other. */
  async sayAll(conversation: number, texts: string[]): Promise<void> {
    for (const text of texts) await this.say(conversation, text);
  }
}

async function ask(
  address: string,
  method: string,
  path: string,
  body?: unknown,
  token?: string,
): Promise<any> {
  const answer = await fetch(`http://${address}${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text).data;
}
