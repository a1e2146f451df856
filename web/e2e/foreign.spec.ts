import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { scene } from './support/scene';

// A page of somebody else, on another host name, in the browser of somebody who is signed in here. It knows even the token: what
// keeps it out is the node, not luck.
const world = scene();
let server: Server;
let foreign: string;

beforeAll(async () => {
  server = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><title>foreign</title><link rel="icon" href="data:,"><p>hello');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  foreign = `http://foreign.localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

/** The foreign page, watched by nobody: what it tries makes errors in its console. */
async function foreignPage(): Promise<Page> {
  const context = await world.browser.newContext();
  const page = await context.newPage();
  await page.goto(foreign);
  return page;
}

const opened = (address: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
  });

it('cannot open the socket, whatever it knows', async () => {
  const account = await world.account('lena');
  const address = `ws://${world.node.address}/ws?token=${account.token}&device_id=web-1`;
  const page = await foreignPage();
  expect(await page.evaluate(opened, address)).toBe('refused');
  expect(await page.evaluate(opened, address.replace('127.0.0.1', 'localhost'))).toBe('refused');
  // the same address from a page of the node: it is the origin that makes the difference
  await page.goto(`http://${world.node.address}/swagger`);
  expect(await page.evaluate(opened, address)).toBe('open');
  await page.context().close();
});

it('cannot read an answer of the API, nor send what needs a permission first', async () => {
  const account = await world.account('tom');
  const page = await foreignPage();
  const results = await page.evaluate(
    async ([host, token]) => {
      const attempt = (path: string, init?: RequestInit) =>
        fetch(`http://${host}${path}`, init).then(
          (answer) => `${answer.type} ${answer.status}`,
          () => 'refused',
        );
      const bearer = { Authorization: `Bearer ${token}` };
      return {
        plain: await attempt('/api/users/me'),
        bearer: await attempt('/api/users/me', { headers: bearer }),
        json: await attempt('/api/auth/login', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: '{}',
        }),
        put: await attempt('/api/users/me', {
          method: 'PUT',
          headers: bearer,
          body: '{"display_name":"Mallory"}',
        }),
        page: await attempt('/'),
        health: await attempt('/healthz'),
      };
    },
    [world.node.address, account.token] as const,
  );
  expect(new Set(Object.values(results))).toEqual(new Set(['refused']));
  expect((await account.api('GET', '/api/users/me')).user.display_name).toBe('Tom');
  await page.context().close();
});

it('cannot show the page in a frame, nor load its scripts and styles', async () => {
  const page = await foreignPage();
  const [script, style] = await page.evaluate(async (host) => {
    const load = (element: HTMLScriptElement | HTMLLinkElement | HTMLIFrameElement) =>
      new Promise<string>((resolve) => {
        element.onload = () => resolve('loaded');
        element.onerror = () => resolve('refused');
        document.body.append(element);
      });
    await load(Object.assign(document.createElement('iframe'), { src: `http://${host}/` }));
    await load(Object.assign(document.createElement('iframe'), { src: `http://${host}/healthz` }));
    const sheet = Object.assign(document.createElement('link'), {
      rel: 'stylesheet',
      href: `http://${host}/swagger.css`,
    });
    return [
      await load(Object.assign(document.createElement('script'), { src: `http://${host}/swagger.js` })),
      await load(sheet),
    ];
  }, world.node.address);
  expect([script, style]).toEqual(['refused', 'refused']);
  const shown = () => page.frames().map((frame) => frame.url());
  await expect.poll(shown).toContain(`http://${world.node.address}/healthz`); // so a frame that is let in would be seen
  expect(shown()).not.toContain(`http://${world.node.address}/`);
  await page.context().close();
});
