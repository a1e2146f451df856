import type { Locator, Page } from 'playwright-core';
import { en } from '../../app/src/i18n/en';

/** The chats as somebody sees them, found by role and label. */
export class ChatPage {
  constructor(private readonly page: Page) {}

  /** The entry of a conversation in the list. */
  entry(title: string): Locator {
    return this.page.getByRole('link', { name: title }).first();
  }

  async open(title: string): Promise<void> {
    await this.entry(title).click();
    await this.input.waitFor();
  }

  get input(): Locator {
    return this.page.getByRole('textbox', { name: en['compose.label'], exact: true });
  }

  get messages(): Locator {
    return this.page.getByRole('log', { name: en['chat.messages'] });
  }

  async send(text: string): Promise<void> {
    await this.input.fill(text);
    await this.input.press('Enter');
  }

  /** The message with exactly this text. */
  text(text: string): Locator {
    return this.messages.getByText(text, { exact: true });
  }

  /** The row of it, with its mark (sent, read) and its actions. */
  row(text: string): Locator {
    return this.messages.getByRole('article').filter({ has: this.page.getByText(text, { exact: true }) });
  }

  async act(text: string, action: string): Promise<void> {
    await this.row(text).click({ button: 'right' });
    await this.page.getByRole('menuitem', { name: action }).click();
  }

  /** The texts that are drawn now, from top to bottom. */
  drawn(): Promise<string[]> {
    return this.messages
      .getByRole('article')
      .evaluateAll((rows) => rows.map((row) => row.textContent?.trim() ?? ''));
  }

  /**
   * Scrolls from the first message to the last and gathers what `pattern` finds in each row: [place, found]. The list draws
   * only what is in view.
   */
  async gather(pattern: RegExp): Promise<[number, string][]> {
    await this.page.setViewportSize({ width: 1280, height: 3000 }); // many rows a look
    return this.messages.evaluate(async (scroller, source) => {
      const found = new Map<number, string>();
      const frame = () => new Promise(requestAnimationFrame);
      const settled = async () => {
        for (let i = 0; i < 3; i++) await frame();
        const till = performance.now() + 20_000;
        while (scroller.querySelector('[data-empty]') && performance.now() < till) await frame();
      };
      const look = () => {
        for (const row of scroller.querySelectorAll<HTMLElement>('article[data-at]')) {
          const text = new RegExp(source).exec(row.textContent ?? '')?.[0];
          if (text) found.set(Number(row.dataset.at), text);
        }
      };
      const atEnd = () => scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2;
      // older messages that come make room above, newer ones below: what counts is that it is still so a moment later
      for (let calm = 0; calm < 3; calm = scroller.scrollTop === 0 ? calm + 1 : 0) {
        scroller.scrollTop = 0;
        await settled();
      }
      for (let calm = 0; calm < 3; calm = atEnd() ? calm + 1 : 0) {
        look();
        scroller.scrollTop += scroller.clientHeight * 0.7;
        await settled();
      }
      look();
      return [...found].sort(([a], [b]) => a - b);
    }, pattern.source);
  }
}
