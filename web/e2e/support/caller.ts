import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Page } from 'playwright-core';
import { Account } from './account';
import { root } from './node';
import type { Person } from './person';
import type { Scene } from './scene';

/** The library as one script; what runs in the page sees it as `parley`. */
const library = buildSync({
  entryPoints: [join(root, 'web/sdk/src/index.ts')],
  bundle: true,
  write: false,
  format: 'iife',
  globalName: 'parley',
  target: 'es2022',
}).outputFiles[0]!.text;

/** Keeps each WebRTC connection of the page, so that its figures can be read. */
function keepLinks(): void {
  const Real = RTCPeerConnection;
  const links: RTCPeerConnection[] = [];
  Object.assign(window, {
    links,
    RTCPeerConnection: function (config: RTCConfiguration) {
      const link = new Real(config);
      links.push(link);
      return link;
    },
  });
}

export interface Flow {
  /** Packets and frames so far, of both directions. */
  audioIn: number;
  audioOut: number;
  videoIn: number;
  videoOut: number;
  framesShown: number;
  framesSent: number;
}

/** Somebody who calls, with the library alone in an otherwise empty page. */
export class Caller {
  private constructor(
    readonly account: Account,
    readonly person: Person,
  ) {}

  get page(): Page {
    return this.person.page;
  }

  static async arrive(world: Scene, account: Account): Promise<Caller> {
    const person = await world.visitor({ permissions: ['camera', 'microphone'] }, '/swagger');
    person.label = account.name;
    const caller = new Caller(account, person);
    await caller.load();
    return caller;
  }

  /** Also after the page was left: another device of the same account then. */
  async load(): Promise<void> {
    await this.page.evaluate(`(() => { (${keepLinks})(); ${library}; globalThis.parley = parley; })()`);
    await this.page.evaluate(
      async ([name, password]) => {
        const { parley } = globalThis as any;
        const client = new parley.Client({ store: new parley.MemoryStore() });
        Object.assign(window, { client, call: null });
        client.on('call', (call: unknown) => Object.assign(window, { call }));
        await client.start();
        await client.auth.login(name, password);
        while (client.state.name !== 'online') await new Promise((go) => setTimeout(go, 20));
      },
      [this.account.name, Account.PASSWORD] as const,
    );
  }

  async ring(other: Account, type: 'audio' | 'video'): Promise<void> {
    await this.page.evaluate(
      async ([id, kind]) =>
        Object.assign(window, { call: await (window as any).client.calls.start(id, { type: kind }) }),
      [other.id, type] as const,
    );
  }

  /** Waits until there is a call in that state; answers its reason. */
  async until(
    state: 'ringing' | 'accepted' | 'connected' | 'reconnecting' | 'ended',
    timeout = 30_000,
  ): Promise<string> {
    const found = await this.page.waitForFunction(
      (wanted) => {
        const { call } = window as any;
        return call?.state === wanted && { reason: call.reason as string };
      },
      state,
      { timeout, polling: 50 },
    );
    return ((await found.jsonValue()) as { reason: string }).reason;
  }

  do(what: 'accept' | 'reject' | 'hangup'): Promise<void> {
    return this.page.evaluate((name) => (window as any).call[name](), what);
  }

  /** There is no call any more, in the library's own view. */
  isFree(): Promise<boolean> {
    return this.page.evaluate(() => (window as any).client.calls.current === null);
  }

  flow(): Promise<Flow> {
    return this.page.evaluate(async () => {
      const { links } = window as unknown as { links: RTCPeerConnection[] };
      const all = [...(await links.at(-1)!.getStats()).values()];
      const sum = (type: string, kind: string, key: string) =>
        all
          .filter((one) => one.type === type && one.kind === kind)
          .reduce((n, one) => n + (one[key] ?? 0), 0);
      return {
        audioIn: sum('inbound-rtp', 'audio', 'packetsReceived'),
        audioOut: sum('outbound-rtp', 'audio', 'packetsSent'),
        videoIn: sum('inbound-rtp', 'video', 'packetsReceived'),
        videoOut: sum('outbound-rtp', 'video', 'packetsSent'),
        framesShown: sum('inbound-rtp', 'video', 'framesDecoded'),
        framesSent: sum('outbound-rtp', 'video', 'framesEncoded'),
      };
    });
  }
}
