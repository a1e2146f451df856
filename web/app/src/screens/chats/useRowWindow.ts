import { nextTick, onBeforeUnmount, onMounted, shallowRef, watch, type Ref } from 'vue';
import { Anchor } from '../../lib/anchor';
import { Heights } from '../../lib/heights';

// Draws of very many rows only those in view. The elements: `scroller` scrolls, `space` has the height of all rows, `block`
// holds the drawn ones, each child with data-at (its row). Heights are measured before the browser paints, and the scroll
// position follows from the anchor, so what the reader sees does not move.
const estimate = 64;
/** Pixels drawn beyond the view, up and down. */
const beyond = 700;
/** Room below the last row. A row's own height must not depend on which rows are drawn beside it. */
const foot = 12;
/** Drawing, measuring and drawing again comes to rest after two or three rounds; a frame has no more than these. */
const roundsMost = 6;

export interface RowWindow {
  /** The rows to draw, both included. */
  range: Ref<{ first: number; last: number }>;
  /** The reader is at the end and stays there as rows come. */
  atEnd: Ref<boolean>;
  toEnd(): void;
  center(row: number): void;
  put(row: number, below: number): void;
  /** All heights are unknown again: another conversation. */
  reset(): void;
  /** The rows in view, and whether the last one is there in whole. */
  visible(): { first: number; last: number };
}

export function useRowWindow(
  scroller: Ref<HTMLElement | undefined>,
  space: Ref<HTMLElement | undefined>,
  block: Ref<HTMLElement | undefined>,
  count: Ref<number>,
  /** What, besides the count, draws rows anew. */
  drawn: Ref<unknown>,
  moved: () => void,
): RowWindow {
  const heights = new Heights(estimate);
  const anchor = new Anchor(heights);
  const range = shallowRef({ first: 0, last: -1 });
  const atEnd = shallowRef(true);
  const watched = new Set<Element>();
  let view = 0;
  let written = -1;
  let rounds = 0;
  let frame = 0;

  const sizes = new ResizeObserver((entries) => {
    let changed = false;
    for (const { target } of entries) {
      if (target === scroller.value) {
        changed ||= target.clientHeight !== view;
        view = target.clientHeight;
      } else changed = measure(target as HTMLElement) || changed;
    }
    if (changed) settle();
  });

  /** Answers whether the row is not what it was. Empty rows stand in for others and count with the estimate. */
  function measure(element: HTMLElement): boolean {
    const { at, empty } = element.dataset;
    if (at === undefined || empty !== undefined) return false;
    const height = element.getBoundingClientRect().height;
    return height > 0 && heights.set(Number(at), height) !== 0;
  }

  /** Puts everything where the anchor says. */
  function place(): void {
    if (!scroller.value || !space.value || !block.value) return;
    space.value.style.height = `${heights.total + foot}px`;
    // A conversation that does not fill its pane stands at the bottom, beside where one writes.
    const free = Math.max(0, view - heights.total - foot);
    block.value.style.transform = `translateY(${heights.offset(range.value.first) + free}px)`;
    const top = anchor.top(view - foot);
    if (Math.abs(scroller.value.scrollTop - top) >= 1) {
      scroller.value.scrollTop = top;
    }
    written = scroller.value.scrollTop;
    atEnd.value = anchor.touchesEnd(view - foot);
  }

  function choose(): boolean {
    const next = heights.count ? anchor.range(view, beyond) : { first: 0, last: -1 };
    if (next.first === range.value.first && next.last === range.value.last) return false;
    range.value = next;
    return true;
  }

  /** After heights have changed: other rows may be needed, which are then drawn and measured in their turn. */
  function settle(): void {
    choose();
    place();
    moved();
  }

  function scrolled(): void {
    const el = scroller.value!;
    // Our own writing comes back as an event; the anchor knows better than the rounded position.
    if (Math.abs(el.scrollTop - written) >= 1) {
      anchor.scrolled(el.scrollTop, view - foot);
      written = el.scrollTop;
      atEnd.value = anchor.touchesEnd(view - foot);
    }
    if (choose()) place();
    moved();
  }

  function afterDraw(): void {
    const el = block.value;
    if (!el) return;
    let changed = false;
    const now = new Set<Element>(el.children);
    for (const old of watched) {
      if (now.has(old)) continue;
      watched.delete(old);
      sizes.unobserve(old);
    }
    for (const child of now) {
      if (!watched.has(child)) {
        watched.add(child);
        sizes.observe(child);
      }
      changed = measure(child as HTMLElement) || changed;
    }
    if (changed && ++rounds <= roundsMost) settle();
    else place();
    frame ||= requestAnimationFrame(() => (rounds = frame = 0));
  }

  watch(
    count,
    (now) => {
      heights.resize(now);
      choose();
    },
    { immediate: true, flush: 'sync' },
  );
  watch([range, drawn], afterDraw, { flush: 'post' });

  onMounted(() => {
    view = scroller.value!.clientHeight;
    sizes.observe(scroller.value!);
    scroller.value!.addEventListener('scroll', scrolled, { passive: true });
    settle();
  });
  onBeforeUnmount(() => {
    sizes.disconnect();
    cancelAnimationFrame(frame);
  });

  const then = (what: () => void) => () => {
    what();
    settle();
    void nextTick(place);
  };
  return {
    range,
    atEnd,
    toEnd: then(() => anchor.toEnd()),
    center: (row) => then(() => anchor.center(row, view))(),
    put: (row, below) => then(() => anchor.put(row, below))(),
    reset: then(() => {
      heights.clear();
      anchor.toEnd();
    }),
    visible: () => {
      const top = anchor.top(view - foot);
      const last = heights.find(top + view - 1);
      const whole = heights.offset(last + 1) <= top + view + 8;
      return { first: heights.find(top), last: whole ? last : last - 1 };
    },
  };
}
