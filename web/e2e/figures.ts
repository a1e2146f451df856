// What the web client costs, in a real Chromium against a real node. Prints figures, judges nothing.
//   cd web && npx vite-node e2e/figures.ts [messages=100000] [hour=18000]
// Times are of this machine as it is; CPU times of tasks hardly depend on what else runs there.
import { type CDPSession, type Page } from 'playwright-core';
import type { Account } from './support/account';
import { Scene } from './support/world';

const [messages = 100_000, hour = 18_000] = process.argv.slice(2).map(Number);
const say = (name: string, value: string) => console.log(`${name.padEnd(58)} ${value}`);
const ms = (n: number) => `${n.toFixed(0)} ms`;
const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

async function fill(from: Account, conversation: number, count: number, flight: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < count; i = next++)
      await from.say(conversation, `message ${i}, ${'words '.repeat(i % 23)}`);
  };
  await Promise.all(Array.from({ length: flight }, lane));
}

/** Bytes over the wire, heads included, until nothing more is loaded. */
async function firstLoad(world: Scene): Promise<void> {
  const person = await world.visitor({}, 'about:blank');
  const devtools = await person.context.newCDPSession(person.page);
  let bytes = 0;
  let files = 0;
  await devtools.send('Network.enable');
  devtools.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength;
    files += 1;
  });
  await person.page.goto('/');
  await person.page.getByRole('textbox').first().waitFor();
  say(
    'first load: transferred until the sign-in is there',
    `${(bytes / 1000).toFixed(1)} KB in ${files} files`,
  );
  await person.leave();
}

const untilMessage = (page: Page) =>
  page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const look = () => {
          if (document.querySelector('[role=log] article')) resolve(performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );

async function firstMessage(world: Scene, lena: Account, chat: number): Promise<void> {
  const person = await world.visitor({}, `/chat/${chat}`);
  await person.page.getByRole('textbox').first().waitFor();
  const before = performance.now();
  await person.signIn(lena);
  await person.chat.messages.getByRole('article').first().waitFor();
  say('first message: after the click on sign in', ms(performance.now() - before));
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    await person.page.reload({ waitUntil: 'commit' });
    times.push(await untilMessage(person.page));
  }
  times.sort((a, b) => a - b);
  say('first message: after a reload, median of 5 (worst)', `${ms(times[2]!)} (${ms(times[4]!)})`);
  await person.leave();
}

interface Task {
  wall: number;
  cpu: number;
}
/** The main thread's tasks while something is done, longest first. */
async function tasksDuring(devtools: CDPSession, work: () => Promise<void>): Promise<Task[]> {
  const tasks: (Task & { pid: number; tid: number })[] = [];
  const mains = new Set<string>();
  const done = new Promise((resolve) => devtools.once('Tracing.tracingComplete', resolve));
  devtools.on('Tracing.dataCollected', ({ value }) => {
    for (const event of value as any[]) {
      if (event.name === 'thread_name' && event.args?.name === 'CrRendererMain')
        mains.add(`${event.pid}.${event.tid}`);
      if (/RunTask$/.test(event.name) && event.dur)
        tasks.push({ wall: event.dur / 1000, cpu: (event.tdur ?? 0) / 1000, pid: event.pid, tid: event.tid });
    }
  });
  await devtools.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['disabled-by-default-devtools.timeline', 'toplevel'] },
  });
  await work();
  await devtools.send('Tracing.end');
  await done;
  return tasks.filter(({ pid, tid }) => mains.has(`${pid}.${tid}`)).sort((a, b) => b.cpu - a.cpu);
}

async function scroll(world: Scene, lena: Account, chat: number): Promise<void> {
  const person = await world.visitor({}, `/chat/${chat}`);
  await person.signIn(lena);
  await person.chat.messages.getByRole('article').first().waitFor();
  const devtools = await world.browser.newBrowserCDPSession();
  const box = (await person.chat.messages.boundingBox())!;
  await person.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await person.chat.messages.press('End'); // all is unread, so it was opened at the first message
  const wheel = async () => {
    for (let i = 0; i < 300; i++) {
      await person.page.mouse.wheel(0, -900);
      await person.page.waitForTimeout(16);
    }
  };
  const jump = async () => {
    for (let i = 0; i < 20; i++) {
      await person.chat.messages.evaluate(
        (log, part) => (log.scrollTop = log.scrollHeight * part),
        ((i * 7) % 20) / 20,
      );
      await person.page.waitForTimeout(250);
    }
  };
  for (const [name, work] of [
    ['wheel, 300 notches up', wheel],
    ['20 jumps of the scroll bar', jump],
  ] as const) {
    const place = () => person.chat.messages.evaluate((log) => log.scrollTop);
    const from = await place();
    const tasks = await tasksDuring(devtools, work);
    say(
      `${messages} messages, ${name}: pixels between begin and end`,
      `${Math.abs(from - (await place())).toFixed(0)}`,
    );
    const long = tasks.filter(({ cpu }) => cpu > 50).length;
    const wall = Math.max(...tasks.map((task) => task.wall));
    say(`${messages} messages, ${name}: longest task`, `${ms(tasks[0]?.cpu ?? 0)} CPU (${ms(wall)} wall)`);
    say(`${messages} messages, ${name}: tasks over 50 ms CPU`, `${long} of ${tasks.length}`);
  }
  const rows = await person.chat.messages.getByRole('article').count();
  say(`${messages} messages: rows that are drawn`, `${rows}`);
  await person.leave();
}

async function memory(world: Scene, lena: Account, tom: Account, chat: number): Promise<void> {
  const person = await world.visitor({}, `/chat/${chat}`);
  await person.signIn(lena);
  await person.chat.messages.getByRole('article').first().waitFor();
  const devtools = await person.context.newCDPSession(person.page);
  await devtools.send('Performance.enable');
  const measure = async () => {
    for (let i = 0; i < 3; i++) await devtools.send('HeapProfiler.collectGarbage');
    const { metrics } = await devtools.send('Performance.getMetrics');
    const of = (name: string) => metrics.find((one) => one.name === name)?.value ?? 0;
    return { heap: of('JSHeapUsedSize'), nodes: of('Nodes'), listeners: of('JSEventListeners') };
  };
  const started = performance.now();
  await fill(tom, chat, Math.ceil(hour / 10), 8); // caches are warm after that
  const first = await measure();
  for (let quarter = 1; quarter <= 4; quarter++) {
    await fill(tom, chat, Math.ceil(hour / 4), 8);
    await person.chat.messages.getByRole('article').last().waitFor();
    const now = await measure();
    say(
      `${hour} messages come: after quarter ${quarter}`,
      `${mb(now.heap)} heap, ${now.nodes} nodes, ${now.listeners} listeners`,
    );
  }
  const last = await measure();
  say('.. grown since the first tenth', `${mb(last.heap - first.heap)}, ${last.nodes - first.nodes} nodes`);
  const seconds = (performance.now() - started) / 1000;
  say(
    '.. an hour of 5 a second, run in',
    `${seconds.toFixed(0)} s (${(hour / 5 / seconds).toFixed(0)} times as fast)`,
  );
  await person.leave();
}

const world = new Scene({ conf: { 'log.level': 'warn' } });
await world.open();
try {
  const lena = await world.account('lena');
  const tom = await world.account('tom');
  const chat = await lena.chat(tom);
  await firstLoad(world);
  await fill(tom, chat, 200, 8);
  await firstMessage(world, lena, chat);
  const mia = await world.account('mia');
  const other = await lena.chat(mia);
  await mia.say(other, 'the first');
  await memory(world, lena, mia, other);
  await fill(tom, chat, messages - 200, 64);
  await firstMessage(world, lena, chat);
  await scroll(world, lena, chat);
} finally {
  await world.close();
}
