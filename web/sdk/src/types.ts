// What the library adds to the objects of the wire: options, states, messages as a program shows them, events.
import type { ApiError } from './errors.js';
import type {
  CallType,
  ContactRequest,
  ContactUpdate,
  ConversationBrief,
  MemberUpdate,
  MessageBody,
  MessageRead,
  PresenceItem,
  UserProfile,
} from './wire.js';
import type { Call } from './shape.js';
import type { Store } from './store.js';

/** The part of the WebSocket interface that the library uses; that of a page and the package "ws" both have it. */
export interface SocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

/** A class that opens sockets, such as the page's WebSocket. */
export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

export interface ClientOptions {
  /** Where the server is: "https://chat.example". In a page the default is the page's own host. */
  url?: string;
  /** Default: IndexedDB where there is one, else memory. */
  store?: Store;
  /** Default: the global one. Node before 22 has none: pass that of the package "ws". */
  WebSocket?: SocketClass;
  /** Default: the global one. */
  fetch?: typeof fetch;
  /** 1 to 64 of A-Z a-z 0-9 _ . : -. Two sockets of one device replace each other, so the default is a new one for each Client. */
  device?: string;
  /** 1 to 16 of a-z 0-9 _ -; default "web". */
  platform?: string;
  /** Makes calls carry sound and pictures. Default: WebRTC of the page; elsewhere calls are signalling only. */
  rtc?: Rtc;
  /** With more messages than this missing in a conversation the newest are loaded and 'reset' is told, instead of all of them one by one; default 5,000. */
  farBehind?: number;
}

/** What a call needs of WebRTC. */
export interface Rtc {
  connection(config: RTCConfiguration): RTCPeerConnection;
  media(constraints: MediaStreamConstraints): Promise<MediaStream>;
  /** The device ids of the cameras. Without it there is no switching. */
  cameras?(): Promise<string[]>;
}

export type StateName = 'signed-out' | 'connecting' | 'online' | 'offline' | 'busy';

export interface State {
  name: StateName;
  /**
   * Why: '' while all is well. Signed out: 'logout', 'expired', 'revoked', 'user_disabled', 'closed'. Else 'network' (no way to the
   * server), 'restart', 'replaced' (another socket of this device; only connect() tries again), 'slow', 'policy', 'busy', 'rate_limited'.
   */
  reason: string;
  /** When the next try is, unix ms; 0: none is planned. */
  retryAt: number;
}

/** A message of a conversation. */
export interface Message {
  id: number;
  conversation_id: number;
  sender_id: number;
  /** 1, 2, 3, .. in each conversation, without holes. */
  seq: number;
  content_type: number;
  /** Empty once recalled. */
  body: MessageBody;
  created_at_ms: number;
  client_msg_id: string;
  status: 'normal' | 'recalled';
  /** The id of the message that this one answers; 0: none. */
  reply_to: number;
}

/** A message of one's own on its way. */
export interface OutboxEntry {
  client_msg_id: string;
  conversation_id: number;
  content_type: number;
  body: MessageBody;
  reply_to: number;
  created_at_ms: number;
  /** 'uploading': its file is on the way. 'sent': stored by the server, and about to appear among the messages. 'failed': see error. */
  state: 'uploading' | 'sending' | 'sent' | 'failed';
  /** Why it failed: 'code' as in ApiError; 'cancelled', 'file_needed' (the page was reloaded: retry with the same file). */
  error?: { code: string; message: string };
  /** Of a message with a file. */
  upload?: UploadInfo;
}

export interface UploadInfo {
  filename: string;
  content_type: string;
  size_bytes: number;
  /** Bytes that the store has; moves while 'uploading'. */
  sent_bytes: number;
}

export interface SendOptions {
  /** The id of a message of the same conversation. */
  replyTo?: number;
}

/** A content that is no plain text: a file that one may read goes to another conversation by its file_id. */
export interface Content {
  content_type: number;
  body: { [kind: string]: { file_id: number } | { text: string } };
}

export interface FileOptions extends SendOptions {
  /** Default: the name of a File. 1 to 255 characters. */
  filename?: string;
  /** Default: by the MIME type. */
  kind?: 'image' | 'file' | 'audio' | 'video';
  /** Pixels. */
  width?: number;
  height?: number;
  /** Whole seconds. */
  duration?: number;
  /** A small picture, at most some 10 KB. */
  thumbnail?: Blob;
}

export interface Window {
  /** Rising by seq, without holes. */
  messages: Message[];
  /** Older ones (or, asked with after, newer ones) exist. */
  hasMore: boolean;
}

export interface WindowOptions {
  /** Messages below this seq; without it and without after: the newest. */
  before?: number;
  /** Messages above this seq. */
  after?: number;
  /** Default 50, at most 200. */
  count?: number;
}

/** What Client.on tells. Each handler gets the object named here. */
export interface ClientEvents {
  state: State;
  /** Signed in, another profile, or null: signed out. */
  profile: UserProfile | null;
  /** The list of conversations, or something in one of them, is not what it was (Conversations.list). */
  conversations: ConversationBrief[];
  /** New messages, one's own included: each exactly once, rising by seq without holes in each conversation. */
  messages: { conversation_id: number; messages: Message[] };
  /** Messages that were told before are not what they were: recalled, or with fresh links. */
  changed: { conversation_id: number; messages: Message[] };
  /** Too many were missing: what comes next by 'messages' does not follow what was told before. Load the newest anew. */
  reset: { conversation_id: number };
  /** A conversation's messages on their way (Messages.outbox). */
  outbox: { conversation_id: number };
  /** Somebody else has read up to here. */
  read: MessageRead;
  presence: PresenceItem[];
  contactRequest: ContactRequest;
  contactUpdate: ContactUpdate;
  memberUpdate: MemberUpdate;
  /** A call rings here. */
  call: Call;
  /** Something went wrong in the background that no call of a method can tell. For logs. */
  error: ApiError;
}

export type CallEndReason =
  | 'hangup'
  | 'decline'
  | 'busy'
  | 'unavailable'
  | 'cancelled'
  | 'timeout'
  | 'answered_elsewhere'
  | 'declined_elsewhere'
  | 'connect_timeout'
  | 'max_duration'
  | 'peer_lost'
  | 'media'
  | 'network'
  | (string & {});

export interface CallOptions {
  type?: CallType;
  /** Default: the single chat with that user. */
  conversationId?: number;
}

export interface CallEvents {
  /** The state, a stream, or a mute is not what it was. */
  change: undefined;
  /** Without Rtc: the other side's session description. */
  sdp: { type: 'offer' | 'answer'; sdp: string };
  /** Without Rtc: the other side's candidate. */
  candidate: { candidate: string; sdp_mid: string | null; sdp_mline_index: number | null };
}
