import type { ApiError, Message, OutboxEntry } from '@parley/sdk';
import { onScopeDispose, shallowReactive, watch, type Ref } from 'vue';
import { client } from './client';
import { onUserChange } from './session';

// A conversation as its screen shows it: a piece of its messages without holes, and what is on its way below them.
type Timeline = ReturnType<typeof client.messages.timeline>;

export interface TimelineView {
  conversation: number;
  messages: readonly Message[];
  pending: readonly OutboxEntry[];
  hasOlder: boolean;
  atEnd: boolean;
  loading: boolean;
  error: ApiError | null;
  /** True once something has been loaded, or the conversation is known to be empty. */
  started: boolean;
  /** On the way to the newest messages: those that are here are not them. */
  ending: boolean;
  older(): Promise<void>;
  newer(): Promise<void>;
  jump(seq: number): Promise<void>;
  toEnd(): Promise<void>;
  trim(count: number): void;
}
const page = 100;

export function useTimeline(id: Ref<number>): TimelineView {
  let line: Timeline | null = null;
  const view = shallowReactive<TimelineView>({
    conversation: 0,
    messages: [],
    pending: [],
    hasOlder: false,
    atEnd: true,
    loading: false,
    error: null,
    started: false,
    ending: false,
    older: () => run((it) => it.older(page)),
    newer: () => run((it) => it.newer(page)),
    jump: (seq) => run((it) => it.jump(seq, page)),
    toEnd: async () => {
      view.ending = true;
      await run((it) => it.toEnd(page));
      view.ending = false;
    },
    trim: (count) => line?.trim(count),
  });

  function take(of: Timeline): void {
    if (of !== line) return;
    view.messages = of.messages;
    view.pending = of.pending;
    view.hasOlder = of.hasOlder;
    view.atEnd = of.atEnd;
    view.loading = of.loading;
    view.error = of.error;
    if (!of.error && !of.loading) view.started = true;
  }
  async function run(what: (of: Timeline) => Promise<unknown>): Promise<void> {
    const of = line;
    if (!of) return;
    try {
      const going = what(of);
      take(of);
      await going;
    } catch {
      // of.error tells it; the screen shows that with a way to try again.
    }
    take(of);
  }
  function close(): void {
    line?.close();
    line = null;
  }

  watch(
    id,
    (now) => {
      close();
      Object.assign(view, {
        conversation: now,
        messages: [],
        pending: [],
        started: false,
        error: null,
        atEnd: true,
      });
      if (!now) return;
      const of = client.messages.timeline(now);
      line = of;
      // It loads the newest messages by itself.
      of.on('change', () => take(of));
      take(of);
    },
    { immediate: true },
  );
  onScopeDispose(close);
  return view;
}

/** Messages that are not there for this reader; a list that is drawn again does not ask again. */
const missing = new Set<number>();
const mostMissing = 500;
const looking = new Map<number, Promise<Message | undefined>>();
onUserChange(() => missing.clear());

/** A message that an answer names. Undefined: it is not there any more. */
export function findMessage(id: number): Promise<Message | undefined> {
  if (missing.has(id)) return Promise.resolve(undefined);
  const going = looking.get(id) ?? look(id).finally(() => looking.delete(id));
  looking.set(id, going);
  return going;
}
async function look(id: number): Promise<Message | undefined> {
  const message = await client.messages.find(id);
  if (!message && missing.size < mostMissing) missing.add(id);
  return message;
}
export const searchMessages = (text: string, conversation?: number): Promise<Message[]> =>
  client.messages.search(text, conversation ? { conversation, limit: 100 } : { limit: 50 });
