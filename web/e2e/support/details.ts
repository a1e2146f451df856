import type { Locator, Page } from 'playwright-core';
import { expect } from 'vitest';
import { en } from '../../app/src/i18n/en';
import { text } from './text';

type Key = Parameters<typeof text>[0];

/** The pane beside a group, as one who is in it sees it. */
export class Details {
  constructor(private readonly page: Page) {}

  get pane(): Locator {
    return this.page
      .getByRole('complementary', { name: en['chat.details'] })
      .or(this.page.getByRole('main', { name: en['chat.details'] }));
  }

  button(key: Key): Locator {
    return this.pane.getByRole('button', { name: text(key), exact: true });
  }

  switch(key: Key): Locator {
    return this.pane.getByRole('switch', { name: text(key) });
  }

  get members(): Locator {
    return this.pane.getByRole('list', { name: en['group.members'] }).getByRole('listitem');
  }

  member(name: string): Locator {
    return this.members.filter({ hasText: name });
  }

  /** What can be done with a member, as the menu says it. */
  async choices(name: string): Promise<string[]> {
    await this.openMenu(name);
    const items = this.page.getByRole('menuitem');
    await items.first().waitFor();
    const found = await items.allTextContents();
    await this.page.keyboard.press('Escape');
    await items.first().waitFor({ state: 'detached' });
    return found.map((it) => it.trim());
  }

  /** What the menu offers is what could be done when it was opened: who does not find it there looks again. */
  async do(name: string, key: Key): Promise<void> {
    const item = this.page.getByRole('menuitem', { name: text(key), exact: true });
    await expect
      .poll(async () => {
        await this.openMenu(name);
        await this.page.getByRole('menuitem').first().waitFor();
        if (await item.count()) return true;
        await this.page.keyboard.press('Escape');
        return false;
      })
      .toBe(true);
    await item.click();
  }

  private async openMenu(name: string): Promise<void> {
    await this.pane.getByRole('button', { name: text('group.menuOf', { name }) }).click();
  }

  async confirm(title: string, yes: Key): Promise<void> {
    const dialog = this.page.getByRole('dialog', { name: title });
    await dialog.getByRole('button', { name: text(yes), exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
  }

  /** One of the texts that are changed in a dialog. */
  async write(edit: Key, label: Key, words: string): Promise<void> {
    await this.button(edit).click();
    const dialog = this.page.getByRole('dialog', { name: text(label) });
    await dialog.getByLabel(text(label)).fill(words);
    await dialog.getByRole('button', { name: en['ui.save'] }).click();
    await dialog.waitFor({ state: 'hidden' });
  }
}
