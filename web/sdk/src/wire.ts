// The objects of the wire (schema/PROTOCOL.md, section 5), key by key as the server sends them. Ids, seqs and sizes are
// positive integers below 2^53; keys ending in _ms are unix milliseconds, last_seen_unix and call times are seconds.
// The server may add keys at any time.

export interface UserBrief {
  id: number;
  /** 3 to 32 of a-z 0-9 _ . - */
  username: string;
  /** Never empty: the username where the user chose none. */
  display_name: string;
  avatar_url: string;
}

export interface UserProfile {
  user: UserBrief;
  status: 'active' | 'disabled' | 'frozen';
}

export interface AuthPayload {
  access_token: string;
  refresh_token: string;
  /** Seconds until the access token ends. */
  expires_in: number;
  token_type: 'Bearer';
  profile: UserProfile;
}

/** One sign-in: a browser, a phone. */
export interface Login {
  id: number;
  device: string;
  created_at_ms: number;
  /** The last refresh of its tokens, and where it came from ("" before the first). */
  used_at_ms: number;
  address: string;
  /** The one that asks. */
  current: boolean;
}

export type Role = 'owner' | 'admin' | 'member';
export type JoinMode = 'approval' | 'free';
export const SINGLE = 1;
export const GROUP = 2;

/** What all members of a conversation see alike. */
export interface ConversationShared {
  id: number;
  /** 1 a chat of two (SINGLE), 2 a group (GROUP). */
  type: 1 | 2;
  /** Of a single chat: the display name of the other one. */
  title: string;
  avatar_url: string;
  /** 0 in a single chat. */
  owner_id: number;
  member_count: number;
  member_limit: number;
  announcement: string;
  join_mode: JoinMode;
  mute_all: boolean;
  status: 'active' | 'dissolved';
}

/** A conversation as one of its members sees it. */
export interface ConversationBrief extends ConversationShared {
  /** The other one of a single chat; 0 for a group. */
  peer_id: number;
  role: Role;
  /** An admin has muted me until then; 0 or past: not muted. */
  muted_until_ms: number;
  pinned: boolean;
  /** My own "no notifications". */
  muted: boolean;
  unread: number;
  read_seq: number;
  latest_seq: number;
  latest_change: number;
  last_message: MessageItem | null;
  updated_at_ms: number;
}

export interface Member {
  user: UserBrief;
  role: Role;
  nickname: string;
  muted_until_ms: number;
  joined_at_ms: number;
  read_seq: number;
}

/** A file in a message. The links end; Files.link gives a fresh one. */
export interface MediaRef {
  file_id: number;
  object_key: string;
  url: string;
  url_expires_at_ms: number;
  filename: string;
  content_type: string;
  size_bytes: number;
  /** Seconds; 0 where there is none. */
  duration_sec: number;
  /** Pixels; 0 where unknown. */
  width: number;
  height: number;
  /** Signed path of a small picture, or "". */
  thumbnail_key: string;
}

export interface CallRecord {
  call_id: string;
  call_type: CallType;
  result: 'missed';
  reason: 'unavailable' | 'timeout' | 'cancelled';
  duration_sec: number;
  convo_hint: string;
}

export type CallType = 'audio' | 'video';

export const TEXT = 1;
export const IMAGE = 2;
export const FILE = 3;
export const AUDIO = 4;
export const VIDEO = 5;
export const CALL = 9;

/** Exactly one key, that of the content type; none in a recalled message. */
export interface MessageBody {
  text?: { text: string };
  image?: MediaRef;
  file?: MediaRef;
  audio?: MediaRef;
  video?: MediaRef;
  call?: CallRecord;
}

/** A message as REST answers carry it. The library hands out Message instead. */
export interface MessageItem {
  id: number;
  conversation_id: number;
  sender_id: number;
  seq: number;
  content_type: number;
  body: MessageBody;
  create_time: { seconds: number; nanos: number };
  client_msg_id: string;
  status: 'normal' | 'recalled';
  reply_to: number;
  created_at_ms: number;
}

/** A message as frames carry it. */
export interface PushMessage {
  message_id: number;
  conversation_id: number;
  sender_id: number;
  seq: number;
  content_type: number;
  content: MessageBody;
  created_at: number;
  created_at_ms: number;
  client_msg_id: string;
  status: 'normal' | 'recalled';
  reply_to: number;
}

export interface PresenceItem {
  user_id: number;
  online: boolean;
  /** 0: never seen, or not for me to know. */
  last_seen_unix: number;
}

export interface Contact extends UserBrief {
  /** My own name for them, or "". */
  remark: string;
  since_ms: number;
}

export interface BlockedUser extends UserBrief {
  since_ms: number;
}

export interface ContactRequest {
  id: number;
  from: UserBrief;
  to: UserBrief;
  message: string;
  status: 'pending' | 'accepted' | 'rejected';
  created_at_ms: number;
}

export interface JoinRequest {
  id: number;
  conversation_id: number;
  user: UserBrief;
  /** 0: they asked themselves. */
  inviter_id: number;
  message: string;
  status: 'pending' | 'accepted' | 'rejected';
  created_at_ms: number;
}

/** One page of a list. */
export interface Page<T> {
  data: T[];
  /** For the next page; "" on the last one. */
  next_cursor: string;
  /** Of the whole list, where the server counts it. */
  total?: number;
}

export interface AddedMembers {
  added: number[];
  /** These wait for an admin's word. */
  pending: number[];
  /** Members already. */
  skipped: number[];
}

export interface ContactUpdate {
  user_id: number;
  action: 'added' | 'removed' | 'remark' | 'blocked' | 'unblocked';
  remark: string;
}

export interface MemberUpdate {
  conversation_id: number;
  action:
    | 'added'
    | 'joined'
    | 'removed'
    | 'left'
    | 'role'
    | 'muted'
    | 'unmuted'
    | 'nickname'
    | 'transferred'
    | 'join_requested';
  user_ids: number[];
  operator_id: number;
  role: Role | '';
  until_ms: number;
  nickname: string;
  request_id: number;
  member_count: number;
}

export interface MessageRead {
  conversation_id: number;
  /** The reader; never oneself. */
  user_id: number;
  read_seq: number;
  read_at: number;
  read_at_ms: number;
}

export interface MessageRevoked {
  conversation_id: number;
  change: number;
  message_id: number;
  seq: number;
  sender_id: number;
  operator_id: number;
  revoked_at: number;
  revoked_at_ms: number;
}

export interface TurnServer {
  urls: string[];
  username: string;
  credential: string;
}

export interface CallServers {
  stun_servers: string[];
  turn_servers: TurnServer[];
}

export interface CallState {
  call_id: string;
  caller_id: number;
  callee_id: number;
  conversation_id: number;
  call_type: CallType;
  status: 'ringing' | 'accepted' | 'connected' | 'ended';
  end_reason: string;
  started_at: number;
  connected_at: number;
  ended_at: number;
  duration: number;
}
