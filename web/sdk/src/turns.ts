// Whether a message waits for a file that was queued before it. The order of a conversation is that in which its messages were queued,
// also where one is a picture and the next its caption; but nobody wants a text to wait for minutes because a film is on its way. So a
// file holds back what is behind it while it will be there in a moment: 10 s at most, and after 2 s only if it goes as fast as that.
const HOLD_MS = 10_000;
const LOOK_MS = 2000;

/**
 * @param size,sent bytes of the file, and how many of them are there
 * @param ms since its upload began and there was a way to the server
 */
export function holdsBack(size: number, sent: number, ms: number): boolean {
  if (ms >= HOLD_MS) return false;
  // without a word of progress nothing speaks against it yet
  return ms < LOOK_MS || sent === 0 || (ms * size) / sent <= HOLD_MS;
}
