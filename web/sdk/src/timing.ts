// Waiting: the one place where the library draws random numbers and sleeps.

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** The wait before try n (0, 1, ..): anything from 0 to base doubled each time, so that many clients do not come back as one. */
export function backoff(n: number, baseMs = 500, capMs = 30_000): number {
  return Math.random() * Math.min(capMs, baseMs * 2 ** Math.min(n, 20));
}

/** A name that nobody else has: 21 of A-Z a-z 0-9 _ -, about 125 bits. */
export function unique(): string {
  const bytes = new Uint8Array(21);
  // Node 18 has no global crypto; these names are no secrets.
  if (globalThis.crypto) crypto.getRandomValues(bytes);
  else for (let i = 0; i < 21; i++) bytes[i] = Math.random() * 256;
  let text = '';
  for (const b of bytes) text += 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'[b & 63];
  return text;
}
