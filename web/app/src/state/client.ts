import { Client } from '@parley/sdk';

/**
 * The one client of this page. Only files of state/ use it; components use what those files offer.
 * It is no reactive object on purpose: its events are turned into refs where a screen needs them.
 */
export const client = new Client();
