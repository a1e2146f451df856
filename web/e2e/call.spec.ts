import { describe, expect, it } from 'vitest';
import { Caller } from './support/caller';
import { scene, type Scene } from './support/scene';
import { NETWORK_GONE } from './support/watch';

// Real WebRTC between two pages with a fake microphone and camera, rung and ended by the node. The grace is no longer than a busy
// machine may need to come back.
const LOST_S = 15;
const world = scene({ conf: { 'call.lost': `${LOST_S}s` } });

async function two(at: Scene = world): Promise<[Caller, Caller]> {
  const [lena, tom] = [await at.account('lena'), await at.account('tom')];
  return [await Caller.arrive(at, lena), await Caller.arrive(at, tom)];
}

async function connected(type: 'audio' | 'video'): Promise<[Caller, Caller]> {
  const [lena, tom] = await two();
  await lena.ring(tom.account, type);
  await tom.until('ringing');
  await tom.do('accept');
  await Promise.all([lena.until('connected'), tom.until('connected')]);
  return [lena, tom];
}

/** All of `keys` grow at that side by at least `more`. */
async function flows(
  caller: Caller,
  keys: (keyof Awaited<ReturnType<Caller['flow']>>)[],
  more = 5,
): Promise<void> {
  const before = await caller.flow();
  await expect
    .poll(
      async () => {
        const now = await caller.flow();
        return keys.filter((key) => now[key] < before[key] + more);
      },
      { timeout: 30_000 },
    )
    .toEqual([]);
}

it('carries sound and pictures both ways, and ends for both when one hangs up', async () => {
  const [lena, tom] = await connected('video');
  const all = ['audioIn', 'audioOut', 'videoIn', 'videoOut', 'framesShown', 'framesSent'] as const;
  await flows(lena, [...all]);
  await flows(tom, [...all]);
  await lena.do('hangup');
  expect(await tom.until('ended')).toBe('hangup');
  expect([await lena.isFree(), await tom.isFree()]).toEqual([true, true]);
});

it('carries sound alone, and no picture, in a call without cameras', async () => {
  const [lena, tom] = await connected('audio');
  await flows(lena, ['audioIn', 'audioOut']);
  await flows(tom, ['audioIn', 'audioOut']);
  expect((await tom.flow()).videoIn).toBe(0);
  await tom.do('hangup');
  expect(await lena.until('ended')).toBe('hangup');
});

it('tells the caller of a rejection, and both can call again', async () => {
  const [lena, tom] = await two();
  await lena.ring(tom.account, 'audio');
  await tom.until('ringing');
  await tom.do('reject');
  expect(await lena.until('ended')).toBe('decline');
  await tom.ring(lena.account, 'audio');
  await lena.until('ringing');
  await lena.do('accept');
  await Promise.all([lena.until('connected'), tom.until('connected')]);
});

it('says busy of who is in a call, and leaves that call alone', async () => {
  const [lena, tom] = await connected('audio');
  const mia = await Caller.arrive(world, await world.account('mia'));
  await mia.ring(tom.account, 'audio');
  expect(await mia.until('ended')).toBe('busy');
  await flows(lena, ['audioIn', 'audioOut']);
  expect(await tom.until('connected')).toBe('');
});

describe('where it rings for a moment only', () => {
  const hasty = scene({ conf: { 'call.ring': '2s' } });

  it('gives up when nobody answers, and leaves a record of it', async () => {
    const [lena, tom] = await two(hasty);
    await lena.ring(tom.account, 'audio');
    expect(await lena.until('ended')).toBe('timeout');
    expect(await tom.until('ended')).toBe('timeout');
    const chat = await lena.account.chat(tom.account);
    await expect
      .poll(
        async () =>
          (await tom.account.api('GET', `/api/messages/history?conversation_id=${chat}`))[0]?.body.call,
      )
      .toMatchObject({ result: 'missed', reason: 'timeout' });
  });
});

it('stops ringing at the other devices when one of them answers', async () => {
  const [lena, tom] = await two();
  const laptop = await Caller.arrive(world, tom.account);
  await lena.ring(tom.account, 'audio');
  await Promise.all([tom.until('ringing'), laptop.until('ringing')]);
  await laptop.do('accept');
  expect(await tom.until('ended')).toBe('answered_elsewhere');
  await Promise.all([lena.until('connected'), laptop.until('connected')]);
  await flows(laptop, ['audioIn', 'audioOut']);
});

it('ends at once for the other when a tab is closed in the middle', async () => {
  const [lena, tom] = await connected('audio');
  await tom.page.close();
  expect(await lena.until('ended')).toBe('hangup');
});

it('ends for the other, after the grace, when a tab crashes', async () => {
  const [lena, tom] = await connected('audio');
  tom.person.watch.forgive(/the page crashed/);
  const devtools = await tom.person.context.newCDPSession(tom.page);
  void devtools.send('Page.crash').catch(() => undefined);
  expect(await lena.until('ended', LOST_S * 1000 + 35_000)).toBe('peer_lost');
});

it('outlives a socket that is back within its grace', async () => {
  const [lena, tom] = await connected('audio');
  for (const one of [lena, tom]) one.person.watch.forgive(NETWORK_GONE);
  tom.person.wire.drop();
  await flows(lena, ['audioIn', 'audioOut'], 50);
  await expect.poll(() => tom.page.evaluate(() => (window as any).client.state.name)).toBe('online');
  await new Promise((resolve) => setTimeout(resolve, LOST_S * 1000 + 1000)); // the grace is over, had it not come back
  expect(await lena.until('connected')).toBe('');
  await flows(tom, ['audioIn', 'audioOut'], 50);
  await tom.do('hangup');
  expect(await lena.until('ended')).toBe('hangup');
});
