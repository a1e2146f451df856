// Calls, as signalling between two clients of a real node. What sound and pictures need is in web/e2e, in browsers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, MemoryStore, type Call } from '../src/index.js';
import { BadLine, random } from './proxy.js';
import { idOf, person, Socket, TestNode, until } from './node.js';

describe('calls', () => {
  let node: TestNode;
  let line: BadLine;
  let ann: Client;
  let bob: Client;

  beforeAll(async () => {
    node = await TestNode.start({ 'limits.ws_messages': '0' });
    line = new BadLine(() => node.http, random(3));
    ann = await person(await line.open());
    bob = await person(node.url);
  });

  afterAll(async () => {
    await ann.close();
    await bob.close();
    await line.close();
    await node.finish();
  });

  const ringing = (client: Client) => new Promise<Call>((resolve) => client.once('call', resolve));
  /** Told, not looked for: it may be back before somebody looks. */
  const socketLost = (client: Client) =>
    new Promise<void>((resolve) => {
      const off = client.on('state', ({ name }) => {
        if (name === 'online') return;
        off();
        resolve();
      });
    });

  async function pair(from = ann, to = bob): Promise<[Call, Call]> {
    const coming = ringing(to);
    const out = await from.calls.start(idOf(to), { type: 'video' });
    return [out, await coming];
  }

  it('ring, are accepted, describe themselves, and end', async () => {
    const [out, incoming] = await pair();
    expect(incoming).toMatchObject({
      state: 'ringing',
      direction: 'incoming',
      peer: idOf(ann),
      type: 'video',
      id: out.id,
    });
    await incoming.accept();
    await until(() => out.state === 'accepted');
    const offered = new Promise((resolve) => incoming.once('sdp', resolve));
    await out.sendSdp('offer', 'v=0 offer');
    expect(await offered).toEqual({ type: 'offer', sdp: 'v=0 offer' });
    const answered = new Promise((resolve) => out.once('sdp', resolve));
    await incoming.sendSdp('answer', 'v=0 answer');
    expect(await answered).toEqual({ type: 'answer', sdp: 'v=0 answer' });
    const candidate = { candidate: 'candidate:1', sdp_mid: '0', sdp_mline_index: 0 };
    const got = new Promise((resolve) => incoming.once('candidate', resolve));
    await out.sendCandidate(candidate);
    expect(await got).toEqual(candidate);
    expect([out.state, incoming.state]).toEqual(['connected', 'connected']);
    await incoming.hangup();
    await until(() => out.state === 'ended');
    expect([out.reason, incoming.reason]).toEqual(['hangup', 'hangup']);
    expect([ann.calls.current, bob.calls.current]).toEqual([null, null]);
  });

  it('are rejected and cancelled', async () => {
    const [one, first] = await pair();
    await first.reject();
    await until(() => one.state === 'ended');
    expect(one.reason).toBe('decline');
    const [two, second] = await pair();
    await two.hangup();
    await until(() => second.state === 'ended');
    expect(second.reason).toBe('cancelled');
  });

  it('time out', async () => {
    // not at the node of the others: what answers too late there because a machine is slow would fail
    const hasty = await TestNode.start({ 'call.ring': '1s' });
    const [from, to] = [await person(hasty.url), await person(hasty.url)];
    const [out, incoming] = await pair(from, to);
    await until(() => out.state === 'ended' && incoming.state === 'ended');
    expect([out.reason, incoming.reason]).toEqual(['timeout', 'timeout']);
    await from.close();
    await to.close();
    await hasty.finish();
  });

  it('find a callee that is busy, or not there', async () => {
    const [, incoming] = await pair();
    const carl = await person(node.url);
    const busy = await carl.calls.start(idOf(bob));
    expect(busy).toMatchObject({ state: 'ended', reason: 'busy' });
    await incoming.reject();
    await until(() => !ann.calls.current);
    await carl.close();
    const dave = await person(node.url);
    const id = idOf(dave);
    await dave.close();
    await until(async () => !(await ann.presence.fetch([id]))[0]!.online);
    expect(await ann.calls.start(id)).toMatchObject({ state: 'ended', reason: 'unavailable' });
    // what the server says of it once more does not end the next one
    const [again, coming] = await pair();
    await coming.accept();
    await until(() => again.state === 'accepted');
    await again.hangup();
    await until(() => !bob.calls.current);
  });

  it('are answered by one device; the other stops ringing', async () => {
    const store = bob['store'] as MemoryStore;
    const second = new Client({ url: node.url, WebSocket: Socket, store });
    await second.start();
    await until(() => second.state.name === 'online');
    const both = Promise.all([ringing(bob), ringing(second)]);
    const out = await ann.calls.start(idOf(bob));
    const [here, there] = await both;
    await here.accept();
    await until(() => there.state === 'ended');
    expect(there.reason).toBe('answered_elsewhere');
    await until(() => out.state === 'accepted');
    await out.hangup();
    await until(() => here.state === 'ended');
    await second.close();
  });

  it('outlive a socket that is lost and comes back', async () => {
    const [out, incoming] = await pair();
    await incoming.accept();
    await until(() => out.state === 'accepted');
    const gone = socketLost(ann);
    line.cutAll();
    await gone;
    // said while there is no socket: it waits for the next
    const offered = new Promise((resolve) => incoming.once('sdp', resolve));
    await out.sendSdp('offer', 'v=0 later');
    expect(await offered).toMatchObject({ sdp: 'v=0 later' });
    line.down = true;
    line.cutAll();
    await until(() => ann.state.name !== 'online');
    await incoming.hangup();
    line.down = false;
    await until(() => out.state === 'ended');
    expect(out.reason).toBe('hangup');
  });
});
