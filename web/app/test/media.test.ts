import type { Message } from '@parley/sdk';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope, shallowRef } from 'vue';

/** What the sdk answers, one after the other; the last one for ever. */
let answers: (string | Error)[] = [];
let asked = 0;
async function link(): Promise<string> {
  const answer = answers[Math.min(asked++, answers.length - 1)]!;
  if (answer instanceof Error) throw answer;
  return answer;
}
vi.mock('../src/state/client', () => ({ client: { files: { link: () => link() } } }));
const { useLink } = await import('../src/state/media');

const picture = { id: 1, body: { image: { file_id: 9 } } } as Message;
const settle = () => new Promise((done) => setTimeout(done));
const use = (message: Message | undefined) => effectScope().run(() => useLink(shallowRef(message), 'file'))!;

beforeEach(() => (asked = 0));

describe('the link of a file', () => {
  it('is the one that the sdk gives', async () => {
    answers = ['/a'];
    const it = use(picture);
    expect(it.url.value).toBe('');
    await settle();
    expect([it.url.value, it.failed.value]).toEqual(['/a', false]);
  });

  it('is asked for anew once when it has ended', async () => {
    answers = ['/old', '/new'];
    const it = use(picture);
    await settle();
    it.lost();
    await settle();
    expect([it.url.value, it.failed.value]).toEqual(['/new', false]);
    it.lost();
    expect(it.failed.value).toBe(true);
    expect(asked).toBe(2);
  });

  it('has failed when the same one comes again, or none', async () => {
    answers = ['/same'];
    const same = use(picture);
    await settle();
    same.lost();
    await settle();
    expect(same.failed.value).toBe(true);
    answers = [new Error('gone')];
    const none = use(picture);
    await settle();
    expect(none.failed.value).toBe(true);
  });
});
