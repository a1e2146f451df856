import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import { pair as pairIn } from './support/files';
import { ChatPage } from './support/pages';
import { scene } from './support/scene';

const world = scene();

/** Two people who are signed in, look at their chat, and are on each other's list. */
const pair = () => pairIn(world);

it('carries messages both ways, each once, in one order for both', async () => {
  const [lena, tom] = await pair();
  const expected: string[] = [];
  for (let i = 1; i <= 6; i++) {
    const [from, to] = i % 2 ? [lena, tom] : [tom, lena];
    await from.chat.send(`hello ${i}.`);
    await to.chat.text(`hello ${i}.`).waitFor();
    await from.chat.text(`hello ${i}.`).waitFor();
    expected.push(`hello ${i}.`);
  }
  for (const person of [lena, tom]) {
    const seen = (await person.chat.gather(/hello \d+\./)).map(([, text]) => text);
    expect(seen).toEqual(expected);
  }
});

it('shows who has read what was said', async () => {
  const [lena, tom] = await pair();
  await tom.page.goto('/chat');
  await lena.chat.send('are you there?');
  await lena.chat.row('are you there?').getByText(en['chat.state.sent'], { exact: true }).waitFor();
  await tom.chat.entry('Lena').getByText('are you there?').waitFor();
  await tom.chat.open('Lena');
  await lena.chat.row('are you there?').getByText(en['chat.state.read'], { exact: true }).waitFor();
});

it('takes a message back, for everybody', async () => {
  const [lena, tom] = await pair();
  await lena.chat.send('the secret is 42');
  await tom.chat.text('the secret is 42').waitFor();
  await lena.chat.act('the secret is 42', en['chat.recall']);
  await tom.page.getByText('Lena recalled a message').first().waitFor();
  await lena.page.getByText(en['kind.recalledOwn']).first().waitFor();
  await tom.page.reload();
  await tom.chat.input.waitFor();
  await tom.page.getByText('Lena recalled a message').first().waitFor();
  expect(await tom.chat.text('the secret is 42').count()).toBe(0);
});

it('keeps what was written but not sent', async () => {
  const [lena, , id] = await pair();
  await lena.chat.input.fill('half a thou');
  await lena.page.goto('/chat');
  await lena.page.getByText('half a thou').waitFor();
  await lena.page.goto(`/chat/${id}`);
  await expect.poll(() => lena.chat.input.inputValue()).toBe('half a thou');
});

it('is the same in two tabs of one account', async () => {
  const [lena, tom, id] = await pair();
  const second = await lena.tab(`/chat/${id}`);
  const other = new ChatPage(second);
  await other.input.waitFor();
  for (let i = 1; i <= 5; i++) {
    await lena.chat.send(`from the first ${i}`);
    await other.send(`from the second ${i}`);
    await tom.chat.send(`from tom ${i}`);
  }
  for (const view of [lena.chat, other, tom.chat]) {
    await view.text('from the first 5').waitFor();
    await view.text('from the second 5').waitFor();
    await view.text('from tom 5').waitFor();
  }
  const truth = (await lena.account.api('GET', `/api/messages/history?conversation_id=${id}&limit=100`)).map(
    (message: { body: { text: { text: string } } }) => message.body.text.text,
  );
  expect(truth).toHaveLength(15);
  for (const view of [lena.chat, other, tom.chat]) {
    expect((await view.gather(/from (the first|the second|tom) \d/)).map(([, text]) => text)).toEqual(truth);
  }
});

it('leads from an answer to what it answers, however far back, and to the newest again', async () => {
  const tom = await world.account('tom');
  const lena = await world.person('lena');
  const id = await lena.account.chat(tom);
  const first = await tom.say(id, 'Where shall we meet?');
  await tom.sayAll(
    id,
    Array.from({ length: 300 }, (_, i) => `number ${i + 2}.`),
  );
  await tom.say(id, 'At the station.', first.id);
  await lena.page.goto(`/chat/${id}`);
  await lena.page.getByRole('button', { name: en['chat.toEnd'] }).click();
  const answer = lena.chat.row('At the station.');
  await answer.getByRole('button', { name: 'Where shall we meet?' }).click();
  await lena.chat.row('number 2.').waitFor();
  await expect
    .poll(() =>
      lena.chat
        .row('Where shall we meet?')
        .first()
        .evaluate((it) => it.getBoundingClientRect().top),
    )
    .toBeGreaterThan(0);
  await expect(lena.chat.row('At the station.').count()).resolves.toBe(0);
  await lena.page.getByRole('button', { name: en['chat.toEnd'] }).click();
  await answer.waitFor();
});
