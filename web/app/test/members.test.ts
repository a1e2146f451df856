import type { Member } from '@parley/sdk';
import { expect, it, vi } from 'vitest';
import { effectScope, ref } from 'vue';

type Listener = (event: unknown) => void;
const listeners = new Map<string, Listener[]>();
const tell = (event: string, value: unknown) => listeners.get(event)?.forEach((fn) => fn(value));
/** Answers of the server, given when the spec says so. */
const asked: ((members: Member[]) => void)[] = [];
vi.mock('../src/state/client', () => ({
  client: {
    state: { name: 'offline' },
    on: (event: string, fn: Listener) => listeners.set(event, [...(listeners.get(event) ?? []), fn]),
    groups: { members: () => new Promise((answer) => asked.push(answer)) },
  },
}));
const { useMembers } = await import('../src/state/members');

const settle = () => new Promise((done) => setTimeout(done));
const member = (id: number, read_seq = 0) => ({ user: { id, display_name: `${id}` }, read_seq }) as Member;

it('the members of a group are those after the last change, and nobody has read less than was told', async () => {
  const shown = effectScope().run(() => useMembers(ref(7)))!;
  asked[0]!([member(1), member(2), member(3)]);
  await settle();
  expect(shown.value.map((it) => it.user.id)).toEqual([1, 2, 3]);
  tell('memberUpdate', { conversation_id: 7 });
  tell('read', { conversation_id: 7, user_id: 2, read_seq: 9 });
  // one more change while the answer to the first is on its way
  tell('memberUpdate', { conversation_id: 7 });
  asked[1]!([member(1), member(2, 4), member(3)]);
  await settle();
  expect(asked.length).toBe(3);
  expect(shown.value.map((it) => it.read_seq)).toEqual([0, 9, 0]);
  asked[2]!([member(1), member(2, 9)]);
  await settle();
  expect(shown.value.map((it) => [it.user.id, it.read_seq])).toEqual([
    [1, 0],
    [2, 9],
  ]);
});
