import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { en } from '../../app/src/i18n/en';
import { choose, drawn, large, LONG, MEBI, pair, row, saved, send } from '../support/files';
import { root } from '../support/node';
import type { Person } from '../support/person';
import { png } from '../support/pictures';
import { scene } from '../support/scene';
import { text } from '../support/text';
import { played, secondsOf } from '../support/voice';

// Files that lie in a bucket: pages put and get them there themselves. tools/test s3 starts the S3 server.
const given = (name: string): string => {
  const value = process.env[`PARLEY_TEST_S3_${name}`];
  if (!value) throw new Error(`PARLEY_TEST_S3_${name} is missing: run this by tools/test s3`);
  return value;
};
const [place, query] = given('URL').split('?') as [string, string];
const bucket = place.slice('s3://'.length);
const store = new URL(/endpoint=([^&]+)/.exec(query)![1]!);

const world = scene({
  conf: {
    'files.url': `${place}/browser-${process.pid}-${Date.now()}?${query}`, // of this node's database alone
    'files.s3_key': given('KEY'),
    'files.s3_secret': given('SECRET'),
  },
});
const dir = mkdtempSync(join(tmpdir(), 'parley-bucket-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Rule {
  AllowedOrigins: string[];
  AllowedMethods: string[];
  AllowedHeaders: string[];
  ExposeHeaders: string[];
  MaxAgeSeconds: number;
}

/** The rule for browsers as docs/s3.md writes it, for these pages instead of its example. */
function allow(...people: Person[]): void {
  const written = /```json\n(\{"CORSRules".*?)```/s.exec(readFileSync(join(root, 'docs/s3.md'), 'utf8'))![1]!;
  const rule = (JSON.parse(written) as { CORSRules: Rule[] }).CORSRules[0]!;
  const origins = people.map(({ wire }) => `http://${wire.address}`);
  const all = (name: string, values: (string | number)[]) =>
    values.map((value) => `<${name}>${value}</${name}>`).join('');
  const body = `<CORSConfiguration><CORSRule>${[
    all('AllowedOrigin', origins),
    all('AllowedMethod', rule.AllowedMethods),
    all('AllowedHeader', rule.AllowedHeaders),
    all('ExposeHeader', rule.ExposeHeaders),
    all('MaxAgeSeconds', [rule.MaxAgeSeconds]),
  ].join('')}</CORSRule></CORSConfiguration>`;
  const hash = (kind: string, form: 'hex' | 'base64') => createHash(kind).update(body).digest(form);
  execFileSync('curl', [
    '-sSf',
    ...['--aws-sigv4', 'aws:amz:us-east-1:s3', '-u', `${given('KEY')}:${given('SECRET')}`],
    ...[
      '-H',
      `x-amz-content-sha256: ${hash('sha256', 'hex')}`,
      '-H',
      `Content-MD5: ${hash('md5', 'base64')}`,
    ],
    ...['-X', 'PUT', '--data-binary', body, `${store.origin}/${bucket}?cors=`],
  ]);
  for (const { watch } of people) watch.trust(store.host);
}

/** The methods with which a page asks that host for bytes of files, from now on. */
function asked({ page }: Person, host: string): string[] {
  const methods: string[] = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.host === host && /\/(blob|up|f)\//.test(url.pathname)) methods.push(request.method());
  });
  return methods;
}

it('shows a picture that went from one page to the bucket and from there to the other', async () => {
  const [lena, tom] = await pair(world);
  allow(lena, tom);
  const [there, here, got] = [
    asked(lena, store.host),
    asked(lena, lena.wire.address),
    asked(tom, store.host),
  ];
  await choose(lena, { name: 'holiday.png', mimeType: 'image/png', buffer: png(1200, 800) });
  await send(lena);
  const shown = row(tom, '').getByRole('img', { name: text('chat.image', { name: 'Lena' }) });
  expect(await drawn(shown)).toBe(320);
  await shown.click();
  const viewer = tom.page.getByRole('dialog', { name: 'holiday.png' });
  expect(await drawn(viewer.getByRole('img', { name: 'holiday.png' }))).toBe(1200);
  expect(there.filter((method) => method === 'PUT')).toHaveLength(2); // it, and its small form
  expect(here).not.toContain('PUT');
  expect(got).toContain('GET');
});

it('brings 50 MB through the bucket, and plays a voice from it', { timeout: 4 * LONG }, async () => {
  const [lena, tom] = await pair(world, ['microphone']);
  allow(lena, tom);
  const there = asked(lena, store.host);
  const { path, hash } = large(dir, 'fifty.bin', 50 * MEBI);
  await choose(lena, path);
  await send(lena);
  expect(await saved(tom, path)).toBe(hash);
  expect(there.filter((method) => method === 'PUT')).toHaveLength(10); // parts of 5 MiB

  await lena.page.getByRole('button', { name: en['voice.record'] }).click();
  const recorder = lena.page.getByRole('group', { name: en['voice.recording'] });
  await secondsOf(recorder, 1);
  await recorder.getByRole('button', { name: en['voice.send'] }).click();
  const voice = row(tom, '').filter({ has: tom.page.locator('audio') });
  expect((await played(voice, LONG)).couldPause).toBe(true);
});

it('lets a page ask the bucket and no other host; the bucket answers the pages of the rule only', async () => {
  const [lena, tom, chat] = await pair(world);
  const stranger = await world.visitor();
  allow(lena, tom);
  stranger.watch.trust(store.host);
  for (const { watch } of [lena, stranger])
    watch.forgive(
      /Content Security Policy/,
      /CORS policy/,
      /net::ERR_/,
      /asked another host/,
      /status of 403/,
    );
  await choose(lena, { name: 'red.png', mimeType: 'image/png', buffer: png(300, 200) });
  await send(lena);
  await row(tom, '')
    .getByRole('img', { name: text('chat.image', { name: 'Lena' }) })
    .waitFor();
  const history = await lena.account.api('GET', `/api/messages/history?conversation_id=${chat}`);
  const url = (history as { body: { image: { url: string } } }[])[0]!.body.image.url;
  expect(new URL(url).origin).toBe(store.origin);

  const tries = ({ page }: Person) =>
    page.evaluate(async (address) => {
      const answer = (from: string) =>
        fetch(from).then(
          ({ status }) => status,
          () => 'refused',
        );
      const picture = (src: string) =>
        new Promise<string>((resolve) => {
          const image = new Image();
          document.addEventListener('securitypolicyviolation', ({ blockedURI }) => {
            if (blockedURI.startsWith(new URL(src).origin)) resolve('refused');
          });
          image.onload = () => resolve('shown');
          image.onerror = () => setTimeout(() => resolve('asked'), 2000);
          image.src = src;
        });
      const other = address.replace('127.0.0.1', 'localhost');
      return [await answer(address), await answer(other), await picture(address), await picture(other)];
    }, url);
  expect(await tries(lena)).toEqual([200, 'refused', 'shown', 'refused']);
  expect(await tries(stranger)).toEqual(['refused', 'refused', 'shown', 'refused']);
  const policy = (await lena.page.request.get('/')).headers()['content-security-policy']!;
  const hosts = new Set(policy.match(/(https?|wss?):\/\/[^\s;]+/g));
  for (const name of [`ws://${lena.wire.address}`, `wss://${lena.wire.address}`]) hosts.delete(name);
  expect([...hosts]).toEqual([store.origin]);
});
