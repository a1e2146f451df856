import { ref } from 'vue';

// How much room there is, for the few things that a style sheet cannot decide.
function media(query: string) {
  const list = matchMedia(query);
  const is = ref(list.matches);
  list.addEventListener('change', (event) => (is.value = event.matches));
  return is;
}

/** One pane at a time. */
export const narrow = media('(max-width: 719px)');
/** Three panes beside each other. */
export const roomy = media('(min-width: 1100px)');
export const calmMotion = media('(prefers-reduced-motion: reduce)');
