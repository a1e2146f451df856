// Signing in and out. A failed login is an ApiError: 'invalid_credentials' (400), 'rate_limited' with retryAfter, 'user_disabled'.
import type { Http } from './http.js';
import type { Session } from './session.js';
import type { AuthPayload, Login, UserProfile } from './wire.js';

export class Auth {
  /** @internal */
  constructor(
    private session: Session,
    private http: Http,
  ) {}

  /** Who is signed in, or null. */
  get profile(): UserProfile | null {
    return this.session.row?.profile ?? null;
  }

  /**
   * Makes an account and signs in with it. Errors: weak_password, bad_username, username_taken.
   * @param account username: 3 to 32 of a-z 0-9 _ . -; password: 8 to 128 characters; display_name: 0 to 64
   */
  register(account: { username: string; password: string; display_name?: string }): Promise<UserProfile> {
    return this.begin('register', account);
  }

  login(username: string, password: string): Promise<UserProfile> {
    return this.begin('login', { username, password });
  }

  /** Sends a code to a phone ("+4915112345", 7 to 15 digits). Answers the seconds until another may be sent. */
  async sendCode(phone: string): Promise<number> {
    const answer = await this.http.call<{ resend_after_sec: number }>('POST', '/api/auth/sms/send', {
      body: { phone },
    });
    return answer.data.resend_after_sec;
  }

  /** @param code 6 digits */
  loginWithCode(phone: string, code: string): Promise<UserProfile> {
    return this.begin('sms/login', { phone, code });
  }

  /** An access token with some life left, for calls that the library does not make. */
  token(): Promise<string> {
    return this.session.token();
  }

  /**
   * Ends this login on the server, with the sockets of all tabs that share it, and forgets what the store has of the user. Other logins
   * of the user stay (endOtherLogins). Without a way to the server it still forgets.
   */
  async logout(): Promise<void> {
    const token = await this.session.token().catch(() => '');
    // here before there: the other tabs shall find an empty store when the server ends their sockets
    await this.session.end('logout', true);
    if (token) await this.http.call('POST', '/api/auth/logout', { token }).catch(() => {});
  }

  /** Where the user is logged in; the newest first, at most 1,000. */
  async logins(): Promise<Login[]> {
    return (await this.session.call<Login[]>('GET', '/api/auth/logins')).data;
  }

  /** Ends one of the user's logins, with its sockets. Ending the own one is what logout does. */
  async endLogin(id: number): Promise<void> {
    await this.session.call('DELETE', `/api/auth/logins/${id}`);
  }

  /** Signs out everywhere but here. Answers how many logins that were. */
  async endOtherLogins(): Promise<number> {
    return (await this.session.call<{ ended: number }>('DELETE', '/api/auth/logins')).data.ended;
  }

  private async begin(how: string, body: object): Promise<UserProfile> {
    const answer = await this.http.call<AuthPayload>('POST', `/api/auth/${how}`, {
      body: { ...body, device_id: this.http.device },
    });
    await this.session.begin(answer.data);
    return answer.data.profile;
  }
}
