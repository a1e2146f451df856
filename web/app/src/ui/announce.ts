import { ref } from 'vue';

// What only screen readers are told: announce('Tom: hello'). Merged for a moment, so that ten messages at once
// are read as their newest three and not as ten.
export const announcement = ref('');
let waiting: string[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(text: string): void {
  waiting = [...waiting.slice(-2), text];
  timer ??= setTimeout(() => {
    announcement.value = waiting.join('. ');
    waiting = [];
    timer = undefined;
  }, 300);
}
