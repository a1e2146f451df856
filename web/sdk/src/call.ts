// One call: its state as both sides and the server see it, and, where there is Rtc, its sound and pictures.
import type { CallCenter, Signal } from './calls.js';
import { Emitter } from './emitter.js';
import { ApiError } from './errors.js';
import type { Candidate, MediaHost, MediaLink } from './media.js';
import type { Call } from './shape.js';
import type { CallEndReason, CallEvents } from './types.js';
import type { CallServers, CallState, CallType } from './wire.js';

export class PeerCall extends Emitter<CallEvents> implements Call, MediaHost {
  state: Call['state'] = 'ringing';
  reason: CallEndReason | '' = '';
  connectedAt = 0;
  muted = false;
  cameraOff = false;
  private servers: CallServers = { stun_servers: [], turn_servers: [] };
  /** What is said goes out in order. */
  private out: Promise<unknown> = Promise.resolve();

  constructor(
    private center: CallCenter,
    private media: MediaLink | null,
    public id: string,
    readonly peer: number,
    readonly conversation: number,
    readonly type: CallType,
    readonly direction: 'incoming' | 'outgoing',
  ) {
    super();
  }

  get local(): MediaStream | null {
    return this.media?.local ?? null;
  }

  get remote(): MediaStream | null {
    return this.media?.remote ?? null;
  }

  async accept(): Promise<void> {
    if (this.direction !== 'incoming' || this.state !== 'ringing') throw wrongState();
    await this.prepare();
    if (this.over()) throw wrongState();
    // before the answer: the offer may be here sooner
    this.media?.open(this.servers, this);
    try {
      await this.say('accept', {});
    } catch (e) {
      // the answer to an accept that was done can get lost with the socket
      if (!(await this.isAccepted())) {
        this.end(e instanceof ApiError ? e.code : 'network');
        throw e;
      }
    }
    if (this.state === 'ringing') this.set('accepted');
  }

  async reject(reason: 'decline' | 'busy' = 'decline'): Promise<void> {
    if (this.direction !== 'incoming' || this.state !== 'ringing') throw wrongState();
    this.end(reason);
    await this.lastWord('reject', { reason });
  }

  async hangup(): Promise<void> {
    if (this.state === 'ended') return;
    const ringing = this.state === 'ringing';
    if (ringing && this.direction === 'incoming') return this.reject();
    this.end(ringing ? 'cancelled' : 'hangup');
    if (this.id) await this.lastWord('hangup', {});
  }

  mute(on: boolean): void {
    this.muted = on;
    this.media?.enable('audio', !on);
    this.changed();
  }

  camera(on: boolean): void {
    this.cameraOff = !on;
    this.media?.enable('video', on);
    this.changed();
  }

  async switchCamera(): Promise<void> {
    await this.media?.switchCamera();
    this.changed();
  }

  async sendSdp(type: 'offer' | 'answer', sdp: string): Promise<void> {
    await this.say(type, { sdp });
    if (!this.media && type === 'answer') this.link('connected');
  }

  async sendCandidate(candidate: Candidate): Promise<void> {
    await this.say('ice_candidate', candidate);
  }

  /** @internal */
  async prepare(): Promise<void> {
    await this.media?.prepare();
    this.changed();
  }

  /** @internal The server has let it ring, or not. */
  started(servers: CallServers, id: string, status: string): void {
    // hung up while the server was being asked
    if (this.over())
      return void (id && this.center.signal('hangup', { call_id: id }, () => true).catch(() => {}));
    this.id = id;
    this.servers = servers;
    if (status !== 'ringing') this.end(status);
    else this.changed();
  }

  /** @internal */
  take({ action, payload }: Signal): void {
    if (this.state === 'ended') return;
    if (action === 'call_rejected' || action === 'call_ended' || action === 'call_timeout') {
      return this.end(String(payload['reason'] ?? 'hangup'));
    }
    if (action === 'call_accepted') {
      this.set('accepted');
      this.media?.open(this.servers, this);
    } else if (action === 'sdp')
      this.described(payload['sdp_type'] as 'offer' | 'answer', String(payload['sdp']));
    else if (action === 'ice_candidate') {
      const candidate = payload as unknown as Candidate;
      if (this.media) void this.media.candidate(candidate);
      else this.emit('candidate', candidate);
    }
  }

  /** @internal After a lost socket: what was told meanwhile did not arrive. */
  async resume(): Promise<void> {
    if (!this.id || this.over()) return;
    try {
      const now = await this.center.signal<CallState>('get_state', { call_id: this.id }, () => !this.over());
      if (now.status === 'ended') return this.end(now.end_reason);
      if (now.status !== 'ringing' && this.state === 'ringing' && this.direction === 'outgoing') {
        this.take({ action: 'call_accepted', call_id: this.id, from_user: this.peer, payload: {} });
      }
      this.media?.restart();
    } catch (e) {
      if (e instanceof ApiError && !e.temporary) this.end('peer_lost');
    }
  }

  /** @internal */
  end(reason: CallEndReason): void {
    if (this.state === 'ended') return;
    this.reason = reason;
    this.media?.close();
    if (this.center.current === this) this.center.current = null;
    this.set('ended');
  }

  /** @internal */
  sdp(type: 'offer' | 'answer', sdp: string): void {
    void this.sendSdp(type, sdp).catch(() => {});
  }

  /** @internal */
  candidate(candidate: Candidate): void {
    void this.sendCandidate(candidate).catch(() => {});
  }

  /** @internal */
  link(state: 'connected' | 'lost'): void {
    if (this.over()) return;
    if (state === 'connected') this.connectedAt ||= Date.now();
    if (state === 'connected') this.set('connected');
    else if (this.state === 'connected') this.set('reconnecting');
  }

  /** @internal */
  changed(): void {
    this.emit('change', undefined);
  }

  private described(type: 'offer' | 'answer', sdp: string): void {
    if (this.media) {
      void this.media.describe(type, sdp, this).catch(() => {
        this.end('media');
        void this.lastWord('hangup', {});
      });
      return;
    }
    this.emit('sdp', { type, sdp });
    if (type === 'answer') this.link('connected');
  }

  private over(): boolean {
    return this.state === 'ended';
  }

  private set(state: Call['state']): void {
    this.state = state;
    this.changed();
  }

  private say<T>(action: string, payload: object): Promise<T> {
    const said = this.out.then(() => {
      if (this.over()) throw wrongState();
      return this.center.signal<T>(action, { ...payload, call_id: this.id }, () => !this.over());
    });
    this.out = said.catch(() => {});
    return said;
  }

  /** The call is over here; the other side shall know. A server that has ended it already does not mind. */
  private async lastWord(action: string, payload: object): Promise<void> {
    await this.center.signal(action, { ...payload, call_id: this.id }, () => true).catch(() => {});
  }

  private async isAccepted(): Promise<boolean> {
    const ask = this.center.signal<CallState>('get_state', { call_id: this.id }, () => !this.over());
    const now = await ask.catch(() => null);
    return (now?.status === 'accepted' || now?.status === 'connected') && !this.over();
  }
}

const wrongState = () => new ApiError(0, 'call_state', 'the call is not in that state');
