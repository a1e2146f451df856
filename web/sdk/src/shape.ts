// What the client offers beyond the plain rows; the classes that do it implement these.
import type { ApiError } from './errors.js';
import type { Emitter } from './emitter.js';
import type {
  CallEndReason,
  CallEvents,
  CallOptions,
  Content,
  FileOptions,
  Message,
  OutboxEntry,
  SendOptions,
  Window,
  WindowOptions,
} from './types.js';
import type { CallType, ConversationBrief, MediaRef, PresenceItem } from './wire.js';

/** The conversations of the user, kept up to date by the socket and there at once after a reload. */
export interface Conversations {
  /** Pinned first, then the newest. A new array after each change. */
  readonly list: readonly ConversationBrief[];
  /** Whether the list has been compared with the server's since the start. */
  readonly loaded: boolean;
  get(id: number): ConversationBrief | undefined;
  /** The chat with that user, made if there is none. Errors: blocked, not_found. */
  open(userId: number): Promise<ConversationBrief>;
  /** One's own view. */
  settings(id: number, changes: { pinned?: boolean; muted?: boolean }): Promise<ConversationBrief>;
  /** One has read up to seq (default: all). Counts here at once, on the server as soon as there is a way. Never goes down. */
  read(id: number, seq?: number): void;
  /** Compares the list with the server's. */
  refresh(): Promise<void>;
}

export interface Messages {
  /** A part of a conversation that follows what happens: what a screen shows. */
  timeline(conversation: number): Timeline;
  /**
   * Some messages, from the store or else from the server. Without before and after: up to the newest that 'messages' has told, so the
   * two together show each message once.
   */
  window(conversation: number, options?: WindowOptions): Promise<Window>;
  /**
   * A message by id, such as the one that reply_to names: from the store, else from the server. Its seq says where to jump to. Undefined:
   * there is none, or none that the user may read.
   */
  find(id: number): Promise<Message | undefined>;
  /** What the store has that holds this text, newest first. At most limit, default 50. */
  search(text: string, options?: { conversation?: number; limit?: number }): Promise<Message[]>;
  /**
   * Queues a message: it is sent when there is a way, after a reload too, in the order of the calls (behind a file only while that will be
   * there in a moment), until the server has taken or refused it.
   */
  send(conversation: number, content: string | Content, options?: SendOptions): Promise<OutboxEntry>;
  /** Uploads a file, then sends it as a message. */
  sendFile(conversation: number, file: Blob, options?: FileOptions): Promise<OutboxEntry>;
  /** What is on its way in a conversation, in order. */
  outbox(conversation: number): readonly OutboxEntry[];
  /** Sends a failed message again. @param file the same file, where the error was 'file_needed' */
  retry(clientMsgId: string, file?: Blob): Promise<void>;
  /** Drops a message that has failed or waits; stops its upload. One that is at the server already may still come. */
  discard(clientMsgId: string): Promise<void>;
  /** Takes a message back, one's own within the server's window (2 minutes) or as admin. Errors: recall_expired, forbidden. */
  recall(message: Message): Promise<void>;
}

export interface Timeline extends Emitter<{ change: 'newer' | 'older' | 'changed' | 'outbox' | 'reset' }> {
  readonly conversation: number;
  /** Rising by seq, without holes. A new array after each change. */
  readonly messages: readonly Message[];
  /** One's own messages that are not among them yet. Shown below them. */
  readonly pending: readonly OutboxEntry[];
  readonly hasOlder: boolean;
  /** False when jumped to a place in the past: newer() goes on from there. */
  readonly atEnd: boolean;
  readonly loading: boolean;
  readonly error: ApiError | null;
  /** Loads older ones; answers how many came. Does nothing while it loads already. */
  older(count?: number): Promise<number>;
  /** Loads newer ones, after jump. */
  newer(count?: number): Promise<number>;
  /** Shows the surroundings of that seq instead. */
  jump(seq: number, count?: number): Promise<void>;
  /** Shows the newest again. */
  toEnd(count?: number): Promise<void>;
  /** Forgets all but the newest: keeps a long visit small. */
  trim(count: number): void;
  close(): void;
}

export interface Presence {
  /** Follows these contacts until the answer is called; each has at most 500 in all. 'presence' tells the changes. */
  watch(ids: readonly number[]): () => void;
  /** What is known of a watched one. */
  get(id: number): PresenceItem | undefined;
  /** The state of any users now; at most 500. */
  fetch(ids: number[]): Promise<PresenceItem[]>;
}

export interface Files {
  /** An address that a page can load, with at least a minute of life. It is that in the message, or a fresh one of the server. */
  link(message: Message, which?: 'file' | 'thumbnail'): Promise<string>;
  /** The file itself. @param progress gets bytes so far and in all */
  download(
    message: Message,
    options?: { progress?: (done: number, all: number) => void; signal?: AbortSignal },
  ): Promise<Blob>;
  /** Uploads without a message: its file_id may go into a Content, or its object_key into a profile. */
  upload(
    file: Blob,
    options?: {
      filename?: string;
      kind?: 'image' | 'file' | 'audio' | 'video';
      progress?: (done: number, all: number) => void;
      signal?: AbortSignal;
    },
  ): Promise<{ file_id: number; object_key: string }>;
}

/** The file of a message, whatever its kind. */
export type { MediaRef };

export interface Calls {
  /** The one call of this client, or null. */
  readonly current: Call | null;
  /** Rings a user. Errors: call_busy, not_found, and those of microphone and camera (DOMException). */
  start(userId: number, options?: CallOptions): Promise<Call>;
}

export interface Call extends Emitter<CallEvents> {
  /** "" until the server has given one. */
  readonly id: string;
  readonly peer: number;
  readonly conversation: number;
  readonly type: CallType;
  readonly direction: 'incoming' | 'outgoing';
  /** 'accepted': both agreed, the connection is being made. 'reconnecting': it was there and is being made again. */
  readonly state: 'ringing' | 'accepted' | 'connected' | 'reconnecting' | 'ended';
  /** Once ended. */
  readonly reason: CallEndReason | '';
  /** Unix ms of the connection; 0: never yet. */
  readonly connectedAt: number;
  readonly local: MediaStream | null;
  readonly remote: MediaStream | null;
  readonly muted: boolean;
  readonly cameraOff: boolean;
  accept(): Promise<void>;
  reject(reason?: 'decline' | 'busy'): Promise<void>;
  /** Ends it in every state: cancels, rejects or hangs up. */
  hangup(): Promise<void>;
  mute(on: boolean): void;
  camera(on: boolean): void;
  /** The next camera, such as from the front to the back of a phone. */
  switchCamera(): Promise<void>;
  /** Without Rtc: sends one's own session description or candidate. */
  sendSdp(type: 'offer' | 'answer', sdp: string): Promise<void>;
  sendCandidate(candidate: {
    candidate: string;
    sdp_mid: string | null;
    sdp_mline_index: number | null;
  }): Promise<void>;
}
