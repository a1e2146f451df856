import { ref } from 'vue';

// The theme is the page's colour scheme: what the system says, or what the reader chose.
export type Theme = 'auto' | 'light' | 'dark';
const stored = 'parley.theme';

function kept(): Theme {
  const it = localStorage.getItem(stored);
  return it === 'light' || it === 'dark' ? it : 'auto';
}

export const theme = ref<Theme>(kept());

export function setTheme(to: Theme): void {
  theme.value = to;
  localStorage.setItem(stored, to);
  show();
}

function show(): void {
  if (theme.value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}
show();
