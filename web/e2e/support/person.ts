import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { en } from '../../app/src/i18n/en';
import type { Account } from './account';
import { Account as Accounts } from './account';
import { ChatPage } from './pages';
import { Watch } from './watch';
import { Wire } from './wire';

/** Somebody in front of a browser, with a line to the node of their own. */
export class Person {
  label = 'visitor';
  account!: Account;

  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
    readonly watch: Watch,
    readonly wire: Wire,
  ) {}

  static async arrive(
    browser: Browser,
    port: () => number,
    path: string,
    options: BrowserContextOptions,
  ): Promise<Person> {
    const wire = await Wire.to(port);
    const baseURL = `http://${wire.address}`;
    const context = await browser.newContext({ baseURL, locale: 'en-US', ...options });
    context.setDefaultTimeout(30_000);
    const watch = new Watch(context, wire.address);
    const page = await context.newPage();
    await page.goto(path);
    return new Person(context, page, watch, wire);
  }

  get chat(): ChatPage {
    return new ChatPage(this.page);
  }

  async signIn(account: Account): Promise<void> {
    this.account = account;
    this.label = account.name;
    await this.page.getByLabel(en['login.username']).fill(account.name);
    await this.page.getByLabel(en['login.password'], { exact: true }).fill(Accounts.PASSWORD);
    await this.page.getByRole('button', { name: en['login.submit'], exact: true }).click();
    await this.page.getByRole('navigation', { name: en['nav.label'] }).waitFor();
  }

  /** One more tab of the same browser: the same account, another socket. */
  async tab(path = '/'): Promise<Page> {
    const page = await this.context.newPage();
    await page.goto(path);
    return page;
  }

  async leave(): Promise<void> {
    await this.context.close();
    await this.wire.close();
  }
}
