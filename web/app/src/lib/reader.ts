/**
 * Runs one read at a time. What is asked for meanwhile is one more read afterwards: the answer under way may be older than what is
 * asked about. Everybody waits for the last of them, and hears if that one failed.
 */
export function reader(read: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let again = false;
  async function work(): Promise<void> {
    try {
      for (;;) {
        again = false;
        try {
          await read();
          if (!again) return;
        } catch (error) {
          if (!again) throw error;
        }
      }
    } finally {
      running = null;
    }
  }
  return () => {
    if (running) again = true;
    else running = work();
    return running!;
  };
}
