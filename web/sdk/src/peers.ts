// Who of those that share the store still lives. A claim in the store names its holder, and whoever wants it asks the holder by a note:
// a closed page does not answer, one whose timers the browser holds back does. A page that was frozen can wake after it was taken for
// dead, so a holder looks into the store before each step whether the claim is still its own.
import type { Store } from './store.js';
import { sleep, unique } from './timing.js';

/** Without an answer for so long there is nobody. */
const ANSWER_MS = 500;
/** A wait for it that took so long tells that this client itself stood still. */
const LATE_MS = 600;

export type PeerNote = { kind: 'ask' | 'alive'; name: string };

export class Peers {
  /** The name that claims of this client carry. */
  readonly self = unique();
  private asked = new Map<string, Promise<boolean>>();
  private answered = new Map<string, () => void>();

  constructor(
    private store: Store,
    private owner: object,
  ) {}

  /** Whether the client of that name answers. "" is nobody. */
  alive(name: string): Promise<boolean> {
    if (name === this.self) return Promise.resolve(true);
    if (!name) return Promise.resolve(false);
    const going = this.asked.get(name) ?? this.ask(name).finally(() => this.asked.delete(name));
    this.asked.set(name, going);
    return going;
  }

  heard({ kind, name }: PeerNote): void {
    if (kind === 'alive') this.answered.get(name)?.();
    else if (name === this.self) this.post('alive', name);
  }

  private async ask(name: string): Promise<boolean> {
    const answer = new Promise<boolean>((resolve) => this.answered.set(name, () => resolve(true)));
    try {
      for (let asked = 1; ; asked++) {
        const since = Date.now();
        this.post('ask', name);
        if (await Promise.race([answer, sleep(ANSWER_MS).then(() => false)])) return true;
        // Who stood still meanwhile may not have heard the answer yet. Once more is enough: timers of a page in the back are always late.
        if (asked === 2 || Date.now() - since < LATE_MS) return false;
      }
    } finally {
      this.answered.delete(name);
    }
  }

  private post(kind: PeerNote['kind'], name: string): void {
    this.store.post({ kind, name } satisfies PeerNote, this.owner);
  }
}
