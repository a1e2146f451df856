import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions } from 'playwright-core';
import { Account } from './account';
import { ParleyNode, root } from './node';
import { Person } from './person';

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE *.localhost, EXCLUDE localhost',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--allow-loopback-in-peer-connection',
];
const pictures = join(root, 'build/test/browser');

export interface SceneOptions {
  conf?: Record<string, string | number | boolean>;
}

/** A node and a browser for all specs of a file; people come in a spec and leave with it. */
export class Scene {
  node!: ParleyNode;
  browser!: Browser;
  readonly people: Person[] = [];
  private count = 0;

  constructor(private readonly options: SceneOptions) {}

  async open(): Promise<void> {
    this.node = await ParleyNode.start(this.options.conf);
    this.browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });
  }

  async close(): Promise<void> {
    await this.browser?.close();
    await this.node?.finish();
  }

  name(base: string): string {
    this.count += 1;
    return `${base}.${this.count}`;
  }

  /** An account without a browser. */
  account(base: string): Promise<Account> {
    const name = this.name(base);
    return Account.register(() => this.node.address, name, base[0]!.toUpperCase() + base.slice(1));
  }

  /** A browser of its own with that page in it; nobody is signed in. */
  async visitor(options: BrowserContextOptions = {}, path = '/'): Promise<Person> {
    const person = await Person.arrive(this.browser, () => this.node.port, path, options);
    this.people.push(person);
    return person;
  }

  /** Somebody who has an account and is signed in, in a browser of their own. */
  async person(base: string, options: BrowserContextOptions = {}): Promise<Person> {
    const account = await this.account(base);
    return this.signedIn(account, options);
  }

  async signedIn(account: Account, options: BrowserContextOptions = {}): Promise<Person> {
    const person = await this.visitor(options);
    await person.signIn(account);
    return person;
  }

  /** The whole browser stops for that long, as on a machine that sleeps; meanwhile something else may happen. */
  async sleep(ms: number, meanwhile: () => Promise<void>): Promise<void> {
    const group = -browserProcess();
    process.kill(group, 'SIGSTOP');
    try {
      await Promise.all([new Promise((resolve) => setTimeout(resolve, ms)), meanwhile()]);
    } finally {
      process.kill(group, 'SIGCONT');
    }
  }

  async keepPictures(title: string): Promise<void> {
    mkdirSync(pictures, { recursive: true });
    const base = join(pictures, title.replace(/[^a-z0-9]+/gi, '_').slice(0, 80));
    for (const [at, person] of this.people.entries()) {
      writeFileSync(`${base}.${at}.log`, person.watch.lines.join('\n'));
      for (const [tab, page] of person.context.pages().entries()) {
        await page.screenshot({ path: `${base}.${at}.${tab}.png`, timeout: 5000 }).catch(() => undefined);
      }
    }
    writeFileSync(`${base}.node.log`, this.node.log());
  }
}

/** The browser that this process has started: the leader of its process group. */
function browserProcess(): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const [, name, rest] = /^\d+ \((.*)\) \w (.*)/s.exec(statOf(pid)) ?? [];
    const [parent, group] = (rest ?? '').split(' ').map(Number);
    if (name?.startsWith('chrom') && parent === process.pid && group === Number(pid)) return Number(pid);
  }
  throw new Error('no browser process');
}
function statOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return ''; // it has ended
  }
}
