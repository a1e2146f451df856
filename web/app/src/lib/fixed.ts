import { computed, onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

// A long list of rows of one height: only those in view are drawn.
export function useFixedRows(
  scroller: Ref<HTMLElement | undefined>,
  count: Ref<number>,
  height: Ref<number>,
) {
  const top = ref(0);
  const view = ref(800);
  const beyond = 8;
  const first = computed(() => Math.max(0, Math.floor(top.value / height.value) - beyond));
  const last = computed(() =>
    Math.min(count.value, Math.ceil((top.value + view.value) / height.value) + beyond),
  );
  let frame = 0;
  function look() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      if (!scroller.value) return;
      top.value = scroller.value.scrollTop;
      view.value = scroller.value.clientHeight;
    });
  }
  const sizes = new ResizeObserver(look);
  onMounted(() => {
    scroller.value?.addEventListener('scroll', look, { passive: true });
    if (scroller.value) sizes.observe(scroller.value);
    look();
  });
  onBeforeUnmount(() => {
    cancelAnimationFrame(frame);
    sizes.disconnect();
  });
  /** Scrolls as little as needed to have that row in view. */
  function reveal(row: number) {
    const el = scroller.value;
    if (!el) return;
    const from = row * height.value;
    if (from < el.scrollTop) el.scrollTop = from;
    else if (from + height.value > el.scrollTop + el.clientHeight)
      el.scrollTop = from + height.value - el.clientHeight;
  }
  return { first, last, reveal };
}
