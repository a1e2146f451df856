// The bad line is a line: what it carries comes in the order in which it was given, as with TCP. A frame is often a chunk of its own,
// so a line that swaps chunks would swap frames, and what is found then would be its fault.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BadLine, random } from './proxy.js';
import { until } from './node.js';

const COUNT = 400;
const numbers = Array.from({ length: COUNT }, (_, i) => `${i}`);

describe('a bad line', () => {
  const server = createServer();
  let line: BadLine;
  let near: Socket;
  let far: Socket;

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    line = new BadLine(() => `127.0.0.1:${(server.address() as AddressInfo).port}`, random(7));
    const joined = new Promise<Socket>((resolve) => server.once('connection', resolve));
    near = connect(Number(new URL(await line.open()).port), '127.0.0.1').setNoDelay(true);
    far = (await joined).setNoDelay(true);
  });

  afterAll(async () => {
    near.destroy();
    await line.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    ['to the client', (): [Socket, Socket] => [far, near]],
    ['to the server', (): [Socket, Socket] => [near, far]],
  ])('delays what it carries, and keeps its order: %s', async (_, ends) => {
    const [from, to] = ends();
    let came = '';
    to.setEncoding('latin1').on('data', (text: string) => (came += text));
    line.delay = 0.3;
    for (const n of numbers) {
      from.write(`${n} `);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await until(() => came.split(' ').length > COUNT, 'all has come');
    expect(came.trim().split(' ')).toEqual(numbers);
  });
});
