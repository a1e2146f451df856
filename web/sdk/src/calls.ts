// Calls: which one is on, and which frame belongs to it. A user is in at most one call, and so is a client.
import { PeerCall } from './call.js';
import { MediaLink } from './media.js';
import type { Connection } from './connection.js';
import { ApiError, toApiError } from './errors.js';
import type { Calls } from './shape.js';
import { sleep } from './timing.js';
import type { CallOptions, Rtc } from './types.js';
import type { CallServers, CallType } from './wire.js';

export interface Signal {
  action: string;
  call_id: string;
  from_user: number;
  payload: Record<string, unknown>;
}

type Started = CallServers & { call_id: string; status: 'ringing' | 'busy' | 'unavailable' };

/** Frames about a call that is being started: its id may come in the same piece of the socket as what happens to it. */
const EARLY = 64;
/** A lost socket comes back within this, or the call is over at the server anyway. */
const PATIENCE_MS = 20_000;

export class CallCenter implements Calls {
  current: PeerCall | null = null;
  private back: (() => void)[] = [];
  private early: Signal[] = [];

  constructor(
    private connection: Connection,
    private rtc: Rtc | undefined,
    private ring: (call: PeerCall) => void,
  ) {}

  async start(userId: number, options: CallOptions = {}): Promise<PeerCall> {
    if (this.current) throw new ApiError(0, 'call_busy', 'caller is already in a call');
    const type = options.type ?? 'audio';
    const call = this.make('', userId, options.conversationId ?? 0, type, 'outgoing');
    this.early = [];
    try {
      await call.prepare();
      const payload = { callee_id: userId, conversation_id: options.conversationId ?? 0, call_type: type };
      // not asked twice: whether a lost one rings is not known
      const started = await this.connection.request<Started>('signaling', { action: 'call', payload });
      call.started(started, started.call_id, started.status);
      for (const signal of this.early.splice(0)) this.take(signal);
    } catch (e) {
      call.end(e instanceof ApiError ? e.code : 'media');
      throw e;
    }
    return call;
  }

  /** A frame of the server. */
  take(signal: Signal): void {
    if (signal.action === 'incoming_call') return this.incoming(signal);
    // without an id it is about a call whose reply has said the same already
    if (!signal.call_id || !this.current) return;
    if (this.current.id === signal.call_id) this.current.take(signal);
    else if (!this.current.id && this.early.length < EARLY) this.early.push(signal);
  }

  /** There is a socket again. */
  online(): void {
    for (const go of this.back.splice(0)) go();
    void this.current?.resume();
  }

  /** Sends what a call has to say, over a lost socket too, while that can still help. */
  async signal<T>(action: string, payload: object, useful: () => boolean): Promise<T> {
    for (const till = Date.now() + PATIENCE_MS; ;) {
      try {
        return await this.connection.request<T>('signaling', { action, payload });
      } catch (e) {
        const error = toApiError(e);
        if (!error.temporary || !useful() || Date.now() > till) throw error;
        if (this.connection.online) await sleep(error.retryAfter + 200);
        else await Promise.race([new Promise<void>((go) => this.back.push(go)), sleep(PATIENCE_MS)]);
      }
    }
  }

  reset(): void {
    this.current?.end('network');
    for (const go of this.back.splice(0)) go();
  }

  private incoming(signal: Signal): void {
    if (this.current?.id === signal.call_id) return;
    if (this.current) {
      const payload = { call_id: signal.call_id, reason: 'busy' };
      return void this.signal('reject', payload, () => true).catch(() => {});
    }
    const { conversation_id, call_type } = signal.payload as { conversation_id: number; call_type: CallType };
    const call = this.make(signal.call_id, signal.from_user, conversation_id, call_type, 'incoming');
    call.started(signal.payload as unknown as CallServers, signal.call_id, 'ringing');
    this.ring(call);
  }

  private make(
    id: string,
    peer: number,
    conversation: number,
    type: CallType,
    direction: 'incoming' | 'outgoing',
  ): PeerCall {
    const link = this.rtc ? new MediaLink(this.rtc, type, direction === 'incoming') : null;
    const call = new PeerCall(this, link, id, peer, conversation, type, direction);
    this.current = call;
    return call;
  }
}
