import { beforeEach, describe, expect, it, vi } from 'vitest';

type Handler = (value: unknown) => void;
const handlers: Record<string, Handler> = {};
vi.mock('../src/state/client', () => ({
  client: {
    state: { name: 'signed-out', reason: '', retryAt: 0 },
    auth: { profile: null },
    start: async () => {},
    on: (event: string, fn: Handler) => (handlers[event] = fn),
  },
}));

async function load() {
  vi.resetModules();
  const session = await import('../src/state/session');
  const drafts = await import('../src/state/drafts');
  await session.boot();
  return drafts;
}
const signIn = (id: number) => handlers.profile!({ user: { id }, status: 'active' });

beforeEach(() => localStorage.clear());

describe('drafts', () => {
  it('are kept for each conversation, over a reload', async () => {
    let drafts = await load();
    signIn(7);
    drafts.keepDraft(1, { text: 'half a', replyTo: 0 });
    drafts.keepDraft(2, { text: '', replyTo: 99 });
    drafts = await load();
    signIn(7);
    expect(drafts.draftOf(1)).toEqual({ text: 'half a', replyTo: 0 });
    expect(drafts.draftOf(2)).toEqual({ text: '', replyTo: 99 });
    expect(drafts.draftOf(3)).toBeUndefined();
  });

  it('are gone once empty', async () => {
    const drafts = await load();
    signIn(7);
    drafts.keepDraft(1, { text: 'x', replyTo: 0 });
    drafts.keepDraft(1, { text: ' \n', replyTo: 0 });
    expect(drafts.draftOf(1)).toBeUndefined();
    expect(localStorage.length).toBe(0);
  });

  it('are nobody else’s, and go with the sign-out', async () => {
    const drafts = await load();
    signIn(7);
    drafts.keepDraft(1, { text: 'secret', replyTo: 0 });
    handlers.profile!(null);
    expect(localStorage.length).toBe(0);
    signIn(8);
    expect(drafts.draftOf(1)).toBeUndefined();
  });

  it('live on in the page when the browser has no room', async () => {
    const drafts = await load();
    signIn(7);
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('full', 'QuotaExceededError');
    });
    drafts.keepDraft(1, { text: 'x', replyTo: 0 });
    expect(drafts.draftOf(1)?.text).toBe('x');
  });

  it('that somebody broke are left out', async () => {
    localStorage.setItem('parley.draft.7.1', '{"text":5}');
    localStorage.setItem('parley.draft.7.2', 'nonsense');
    const drafts = await load();
    signIn(7);
    expect([drafts.draftOf(1), drafts.draftOf(2)]).toEqual([undefined, undefined]);
  });
});
