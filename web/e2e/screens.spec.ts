import type { BrowserContextOptions } from 'playwright-core';
import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import { serious } from './support/axe';
import { furnished } from './support/furnished';
import { scene } from './support/scene';
import { settled } from './support/settled';

// Every screen, as axe-core sees it, in both themes and on a wide and a narrow screen; and nothing is wider than the narrow one.
const world = scene();

const looks: Record<string, BrowserContextOptions> = {
  'light, wide': { colorScheme: 'light' },
  'dark, 360 pixels': { colorScheme: 'dark', viewport: { width: 360, height: 740 } },
};

for (const [look, options] of Object.entries(looks)) {
  it(`have nothing that axe-core finds serious, signed in: ${look}`, async () => {
    const { lena, paths } = await furnished(world);
    const person = await world.signedIn(lena, options);
    const found: string[] = [];
    for (const path of paths) {
      await person.page.goto(path);
      await settled(person.page);
      found.push(...(await serious(person.page)).map((fault) => `${path}: ${fault}`));
      const wide = await person.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) found.push(`${path}: ${wide} pixels wider than the screen`);
    }
    expect(found).toEqual([]);
  });

  it(`have nothing that axe-core finds serious, at the door: ${look}`, async () => {
    const person = await world.visitor(options);
    const found: string[] = [];
    for (const path of ['/login', '/register', '/swagger']) {
      await person.page.goto(path);
      await settled(person.page);
      found.push(...(await serious(person.page)).map((fault) => `${path}: ${fault}`));
    }
    expect(found).toEqual([]);
  });
}

it('lead by keyboard alone from the door to a sent message', async () => {
  const lena = await world.account('lena');
  const tom = await world.account('tom');
  const chat = await lena.chat(tom);
  await tom.say(chat, 'hello there');
  const { page, watch } = await world.visitor();
  await page.getByLabel(en['login.username']).waitFor();
  await page.keyboard.type(lena.name); // the first field has the focus
  await page.keyboard.press('Tab');
  await page.keyboard.type('correct horse 9');
  await page.keyboard.press('Enter');
  await page.getByText('hello there').first().waitFor();
  for (let i = 0; i < 30; i++) {
    const on = await page.evaluate(() => document.activeElement?.getAttribute('href') ?? '');
    if (on === `/chat/${chat}`) break;
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
  await expect.poll(focused).toBe(en['compose.label']);
  await page.keyboard.type('typed blindly');
  await page.keyboard.press('Enter');
  await expect.poll(async () => (await tom.history(chat, 0)).texts).toContain('typed blindly');
  expect(watch.take()).toEqual([]);
});
