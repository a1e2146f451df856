import { expect, it } from 'vitest';
import { scene } from './support/scene';

// The policy that the node sends, as a browser carries it out.
const world = scene();
const refused = /Content Security Policy/;

it('runs no script that got into the page as text', async () => {
  const { page, watch } = await world.visitor({}, '/swagger');
  watch.forgive(refused, /'script-src' was not explicitly set/);
  const ran = await page.evaluate(async () => {
    const marks = window as unknown as Record<string, boolean>;
    const script = document.createElement('script');
    script.textContent = 'window.inline = true';
    document.body.append(script);
    const box = document.createElement('div');
    box.innerHTML =
      '<img src="data:," onerror="window.handler = true"><svg onload="window.svg = true"></svg>';
    document.body.append(box);
    const frame = document.createElement('iframe');
    frame.srcdoc = '<script>parent.frame = true</script>';
    document.body.append(frame);
    const blob = document.createElement('script');
    blob.src = URL.createObjectURL(new Blob(['window.blob = true'], { type: 'text/javascript' }));
    document.body.append(blob);
    const link = Object.assign(document.createElement('a'), { href: 'javascript:window.link = true' });
    document.body.append(link);
    link.click();
    setTimeout('window.text = true'); // not by eval: what a spec evaluates may use that
    await new Promise((resolve) => setTimeout(resolve, 500));
    return ['inline', 'handler', 'svg', 'frame', 'blob', 'link', 'text'].filter((name) => marks[name]);
  });
  expect(ran).toEqual([]);
  await expect.poll(() => watch.lines.filter((line) => refused.test(line)).length).toBeGreaterThanOrEqual(4);
});

it('lets the page ask its own node only', async () => {
  const { page, watch } = await world.visitor({}, '/swagger');
  watch.forgive(refused, /asked another host/, /net::ERR_/);
  const asked = await page.evaluate(async () => {
    const other = location.origin.replace('127.0.0.1', 'localhost');
    const picture = (src: string) =>
      new Promise<string>((resolve) => {
        const image = new Image();
        image.onload = () => resolve('loaded');
        image.onerror = () => resolve('refused');
        image.src = src;
      });
    const own = await fetch('/healthz').then((answer) => answer.status);
    const fetched = await fetch(`${other}/healthz`).catch(() => 'refused');
    const beacon = await fetch(`${other}/x`, { method: 'POST', mode: 'no-cors', body: 'secret' }).catch(
      () => 'refused',
    );
    return { own, fetched, beacon, picture: await picture(`${other}/x.png`) };
  });
  expect(asked).toEqual({ own: 200, fetched: 'refused', beacon: 'refused', picture: 'refused' });
});

it('shows the API page, and lets somebody try a route there', async () => {
  const account = await world.account('lena');
  const { page } = await world.visitor({}, '/swagger');
  await page.getByPlaceholder('username').fill(account.name);
  await page.getByPlaceholder('password').fill('correct horse 9');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText(`user ${account.id}`, { exact: true }).waitFor();
  const row = page
    .locator('summary', { hasText: '/api/users/me' })
    .and(page.locator('summary', { hasText: 'GET' }));
  await row.first().click();
  await page.getByRole('button', { name: 'Try it' }).click();
  await page.getByText(`"username": "${account.name}"`).waitFor();
});
