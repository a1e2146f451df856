import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import type { Account } from './support/account';
import type { Person } from './support/person';
import { scene } from './support/scene';
import { NETWORK_GONE } from './support/watch';

// Whatever becomes of the network, the node or the machine: each message is shown once, in the order of the conversation.
const world = scene();

async function inChat(): Promise<[Person, Account, number]> {
  const tom = await world.account('tom');
  const lena = await world.person('lena');
  lena.watch.forgive(NETWORK_GONE);
  const id = await lena.account.chat(tom);
  await lena.page.goto(`/chat/${id}`);
  await lena.chat.input.waitFor();
  return [lena, tom, id];
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `number ${from + i}.`);
const seen = async (person: Person) => (await person.chat.gather(/number \d+\./)).map(([, text]) => text);

/** Nothing, or what is wrong with what was seen: a few words instead of thousands of lines. */
function wrong(found: string[], expected: string[]): string[] {
  const missing = expected.filter((text) => !found.includes(text));
  const doubled = found.filter((text, at) => found.indexOf(text) !== at);
  const at = found.findIndex((text, place) => text !== expected[place]);
  if (at < 0 && found.length === expected.length) return [];
  const around = found.slice(Math.max(0, at - 2), at + 3).join(' ');
  return [
    `${found.length} seen, ${missing.length} missing (${missing.slice(0, 3)}), ${doubled.length} doubled, first at ${at}: ${around}`,
  ];
}

/** What the server has, in its order. */
async function stored(account: Account, id: number): Promise<string[]> {
  const texts: string[] = [];
  for (let after = 0, more = true; more;) {
    const page = await account.history(id, after);
    texts.push(...page.texts);
    after = page.last;
    more = page.more;
  }
  return texts;
}

it('shows 2,000 messages that came while it was away, each once and in order', async () => {
  const [lena, tom, id] = await inChat();
  await tom.say(id, 'number 1.');
  await lena.chat.text('number 1.').waitFor();
  lena.wire.cut();
  await tom.sayAll(id, numbered(2, 2001));
  lena.wire.mend();
  await lena.chat.text('number 2001.').waitFor({ timeout: 40_000 });
  expect(wrong(await seen(lena), numbered(1, 2001))).toEqual([]);
  await lena.page.reload();
  await lena.chat.text('number 2001.').waitFor();
  expect((await lena.chat.drawn()).filter((text) => text.includes('number 2001.'))).toHaveLength(1);
});

it('says that it is away, keeps what is written then, and sends it once when it is back', async () => {
  const [lena, tom, id] = await inChat();
  lena.wire.cut();
  for (let i = 1; i <= 3; i++) await lena.chat.send(`number ${i}.`);
  await lena.chat.row('number 3.').getByText(en['chat.state.sending'], { exact: true }).waitFor();
  await lena.page.goto('about:blank');
  lena.wire.mend();
  await lena.page.goto(`/chat/${id}`);
  await lena.chat
    .row('number 3.')
    .getByText(en['chat.state.sent'], { exact: true })
    .waitFor({ timeout: 40_000 });
  expect(await stored(tom, id)).toEqual(numbered(1, 3));
  expect(await seen(lena)).toEqual(numbered(1, 3));
});

it('loses nothing and doubles nothing when the line is cut again and again', async () => {
  const [lena, tom, id] = await inChat();
  for (let round = 0; round < 5; round++) {
    await lena.chat.send(`number ${2 * round + 1}.`);
    lena.wire.drop();
    await lena.chat
      .row(`number ${2 * round + 1}.`)
      .getByText(en['chat.state.sent'], { exact: true })
      .waitFor({ timeout: 40_000 });
    await tom.say(id, `number ${2 * round + 2}.`);
  }
  await lena.chat.text('number 10.').waitFor({ timeout: 40_000 });
  expect(await stored(tom, id)).toEqual(numbered(1, 10));
  expect(await seen(lena)).toEqual(numbered(1, 10));
});

it('goes on where it was when the node is killed with -9 and started again', async () => {
  const [lena, tom, id] = await inChat();
  await tom.sayAll(id, numbered(1, 20));
  await lena.chat.text('number 20.').waitFor();
  await world.node.kill('SIGKILL');
  await lena.chat.send('number 21.');
  await world.node.up();
  await lena.chat
    .row('number 21.')
    .getByText(en['chat.state.sent'], { exact: true })
    .waitFor({ timeout: 40_000 });
  await tom.sayAll(id, numbered(22, 40));
  await lena.chat.text('number 40.').waitFor();
  expect(await stored(tom, id)).toEqual(numbered(1, 40));
  expect(await seen(lena)).toEqual(numbered(1, 40));
});

it('catches up when the machine was asleep for a while and nobody remembers its connections', async () => {
  const [lena, tom, id] = await inChat();
  await tom.say(id, 'number 1.');
  await lena.chat.text('number 1.').waitFor();
  lena.wire.stall();
  await world.sleep(16_000, () => tom.sayAll(id, numbered(2, 100)));
  lena.wire.forget();
  await lena.chat.text('number 100.').waitFor({ timeout: 40_000 });
  expect(await seen(lena)).toEqual(numbered(1, 100));
});
