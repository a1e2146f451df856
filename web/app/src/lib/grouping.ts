import { daysBetween } from '../i18n';

// Which messages are shown as one thought: of one sender, of one day, close in time.
const apartMs = 5 * 60_000;

export interface Grouped {
  sender_id: number;
  created_at_ms: number;
  /** Recalled, call record and the like stand for themselves. */
  alone?: boolean;
}

export function startsDay(previous: Grouped | undefined, it: Grouped): boolean {
  return !previous || daysBetween(previous.created_at_ms, it.created_at_ms) !== 0;
}

/** Whether `it` goes on with what `previous` began: no name, no picture, little room between. */
export function follows(previous: Grouped | undefined, it: Grouped): boolean {
  return (
    !!previous &&
    previous.sender_id === it.sender_id &&
    !previous.alone &&
    !it.alone &&
    it.created_at_ms - previous.created_at_ms < apartMs &&
    !startsDay(previous, it)
  );
}
