import type { BrowserContext, ConsoleMessage, Page } from 'playwright-core';

/**
 * What no page may do: ask another host, break the policy, write an error to its console, throw. A spec that takes the network
 * away says which errors belong to that.
 */
export class Watch {
  readonly lines: string[] = [];
  private readonly faults: string[] = [];
  private readonly forgiven: RegExp[] = [];
  private readonly hosts: Set<string>;

  constructor(context: BrowserContext, host: string) {
    this.hosts = new Set([host]);
    context.on('request', (request) => this.asks(request.url()));
    context.on('page', (page) => this.see(page));
    context.on('weberror', (error) => this.fault(`threw: ${error.error().stack ?? error.error().message}`));
  }

  private see(page: Page): void {
    page.on('console', (message) => this.hears(message));
    page.on('crash', () => this.fault('the page crashed'));
    page.on('websocket', (socket) => this.asks(socket.url()));
  }

  private asks(address: string): void {
    const url = new URL(address);
    if (['blob:', 'data:', 'about:'].includes(url.protocol)) return;
    if (!this.hosts.has(url.host)) this.fault(`asked another host: ${address}`);
  }

  private hears(message: ConsoleMessage): void {
    const where = message.location().url;
    const line = `${message.type()}: ${message.text()}${where ? ` (${where})` : ''}`;
    this.lines.push(line);
    if (message.type() === 'error' || /Content Security Policy/.test(message.text())) this.fault(line);
  }

  private fault(text: string): void {
    this.lines.push(`FAULT ${text}`);
    this.faults.push(text);
  }

  /** Another host that the page may ask: the one that keeps its files. */
  trust(host: string): void {
    this.hosts.add(host);
  }

  /** From now on, and for what was seen so far, lines like this are no fault. */
  forgive(...patterns: RegExp[]): void {
    this.forgiven.push(...patterns);
  }

  /** The faults since it was asked last. */
  take(): string[] {
    return this.faults.splice(0).filter((text) => !this.forgiven.some((pattern) => pattern.test(text)));
  }
}

/** What Chromium writes by itself when the network or the node is away. */
export const NETWORK_GONE = /net::ERR_|WebSocket connection to .* failed|status of (503|504)/;
