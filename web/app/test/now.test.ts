import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { computed } from 'vue';

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(new Date(2026, 2, 9, 23, 59, 50));
});
afterEach(() => vi.useRealTimers());

it('what is named by its day gets another name when midnight has passed', async () => {
  // its clock begins when it is loaded
  const { dayName, shortTime } = await import('../src/i18n');
  const said = Date.now();
  const mark = computed(() => dayName(said));
  const entry = computed(() => shortTime(said));
  expect(mark.value).toBe('Today');
  expect(entry.value).toContain('59');
  vi.advanceTimersByTime(11_000);
  expect(dayName(Date.now())).toBe('Today');
  vi.advanceTimersByTime(20_000);
  expect([mark.value, entry.value]).toEqual(['Yesterday', 'Yesterday']);
  // a machine that slept over the next one
  vi.setSystemTime(new Date(2026, 2, 11, 8));
  vi.advanceTimersByTime(20_000);
  expect(mark.value).toBe('Monday');
});
