import { expect, it } from 'vitest';
import { en } from '../app/src/i18n/en';
import { Account } from './support/account';
import { scene } from './support/scene';

const it_is = scene();

it('lets somebody make an account, leave and come back', async () => {
  const { page, watch } = await it_is.visitor();
  const name = it_is.name('lena');
  await page.getByRole('link', { name: en['login.toRegister'] }).click();
  await page.getByLabel(en['login.username']).fill(name);
  await page.getByLabel(en['register.displayName']).fill('Lena K.');
  await page.getByLabel(en['login.password'], { exact: true }).fill(Account.PASSWORD);
  await page.getByRole('button', { name: en['register.submit'] }).click();
  await page.getByRole('navigation', { name: en['nav.label'] }).waitFor();

  await page.reload();
  await page.getByRole('navigation', { name: en['nav.label'] }).waitFor();
  expect(new URL(page.url()).pathname).toBe('/chat');
  expect(watch.take()).toEqual([]);
});

it('says why somebody is not let in, and lets them try again', async () => {
  const account = await it_is.account('tom');
  const person = await it_is.visitor();
  const { page } = person;
  person.watch.forgive(/status of 400/);
  await page.getByLabel(en['login.username']).fill(account.name);
  await page.getByLabel(en['login.password'], { exact: true }).fill('wrong horse 9');
  await page.getByRole('button', { name: en['login.submit'], exact: true }).click();
  await page.getByRole('alert').getByText(en['error.invalid_credentials']).waitFor();
  await person.signIn(account);
});

it('refuses a name that is taken, before anything is lost', async () => {
  const account = await it_is.account('mia');
  const { page, watch } = await it_is.visitor();
  watch.forgive(/status of 409/);
  await page.goto('/register');
  await page.getByLabel(en['login.username']).fill(account.name);
  await page.getByLabel(en['login.password'], { exact: true }).fill(Account.PASSWORD);
  await page.getByRole('button', { name: en['register.submit'] }).click();
  await page.getByText(en['error.username_taken']).waitFor();
  expect(await page.getByLabel(en['login.username']).inputValue()).toBe(account.name);
});

it('shows the sign-in, whatever was asked for, and goes there afterwards', async () => {
  const person = await it_is.visitor();
  await person.page.goto('/chat/1');
  await person.page.getByLabel(en['login.username']).waitFor();
  expect(new URL(person.page.url()).pathname).toBe('/login');
});
