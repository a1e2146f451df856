import { reactive } from 'vue';
import { myId, onUserChange } from './session';

// What was written and not sent, for each conversation, over reloads. Kept by this browser only, and forgotten with the sign-out.
export interface Draft {
  text: string;
  /** The message that it answers, 0: none. */
  replyTo: number;
}
const prefix = 'parley.draft.';
const key = (conversation: number) => `${prefix}${myId.value}.${conversation}`;
const known = reactive(new Map<number, Draft>());
let readFor = 0;

function read(): void {
  if (readFor === myId.value) return;
  readFor = myId.value;
  known.clear();
  const mine = `${prefix}${readFor}.`;
  for (let at = 0; at < localStorage.length; at++) {
    const name = localStorage.key(at)!;
    if (!name.startsWith(mine)) continue;
    const draft = parse(localStorage.getItem(name));
    if (draft) known.set(Number(name.slice(mine.length)), draft);
  }
}
function parse(text: string | null): Draft | null {
  try {
    const it = JSON.parse(text ?? '') as Partial<Draft>;
    return typeof it.text === 'string' && typeof it.replyTo === 'number'
      ? { text: it.text, replyTo: it.replyTo }
      : null;
  } catch {
    return null;
  }
}

export function draftOf(conversation: number): Draft | undefined {
  read();
  return known.get(conversation);
}

export function keepDraft(conversation: number, draft: Draft): void {
  read();
  const empty = !draft.text.trim() && !draft.replyTo;
  if (empty) known.delete(conversation);
  else known.set(conversation, draft);
  try {
    if (empty) localStorage.removeItem(key(conversation));
    else localStorage.setItem(key(conversation), JSON.stringify(draft));
  } catch {
    // The browser's room is used up: the draft lives as long as the page.
  }
}

onUserChange((before) => {
  const theirs = `${prefix}${before}.`;
  for (const name of Object.keys(localStorage)) if (name.startsWith(theirs)) localStorage.removeItem(name);
  known.clear();
  readFor = 0;
});
