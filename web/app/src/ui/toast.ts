import { reactive } from 'vue';

// Short notes at the edge of the page, spoken by screen readers. An error stays until it is closed or 10 s old.
export interface Toast {
  id: number;
  text: string;
  kind: 'note' | 'error';
  action?: { label: string; run: () => void };
}
const most = 3;
let last = 0;

export const toasts = reactive<Toast[]>([]);

export function toast(text: string, more: Partial<Pick<Toast, 'kind' | 'action'>> = {}): void {
  const same = toasts.find((it) => it.text === text);
  if (same) dropToast(same.id);
  const made: Toast = {
    id: ++last,
    text,
    kind: more.kind ?? 'note',
    ...(more.action && { action: more.action }),
  };
  toasts.push(made);
  if (toasts.length > most) toasts.shift();
  setTimeout(() => dropToast(made.id), made.kind === 'error' || made.action ? 10_000 : 4_000);
}

export function dropToast(id: number): void {
  const at = toasts.findIndex((it) => it.id === id);
  if (at >= 0) toasts.splice(at, 1);
}
