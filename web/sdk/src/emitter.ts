// Typed events. A handler that throws does not keep the others from being called: its error is thrown on its own, later.

export class Emitter<Events> {
  private handlers = new Map<keyof Events, Set<(value: never) => void>>();

  /** Calls fn each time; the answer ends that. */
  on<K extends keyof Events>(event: K, fn: (value: Events[K]) => void): () => void {
    let set = this.handlers.get(event);
    if (!set) this.handlers.set(event, (set = new Set()));
    set.add(fn);
    return () => void set.delete(fn);
  }

  /** Calls fn the next time only. */
  once<K extends keyof Events>(event: K, fn: (value: Events[K]) => void): () => void {
    const off = this.on(event, (value) => {
      off();
      fn(value);
    });
    return off;
  }

  /** @internal */
  emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const fn of [...(this.handlers.get(event) ?? [])]) {
      try {
        (fn as (value: Events[K]) => void)(value);
      } catch (e) {
        queueMicrotask(() => {
          throw e;
        });
      }
    }
  }
}
