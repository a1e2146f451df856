import { flushPromises, mount } from '@vue/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defineComponent, h } from 'vue';
import { later, warmUp } from '../src/lib/later';

const Part = defineComponent({ render: () => h('p', 'here') });

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('a part that is loaded later', () => {
  it('is tried again until it comes, and at once when the network is back', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    let fails = 2;
    const load = vi.fn(async () => {
      if (fails-- > 0) throw new Error('away');
      return { __esModule: true, default: Part };
    });
    const Later = later(load);
    const page = mount({ render: () => h('div', h(Later)) });
    await flushPromises();
    expect(load).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1000);
    await flushPromises();
    expect(load).toHaveBeenCalledTimes(2);
    expect(page.html()).not.toContain('here');
    window.dispatchEvent(new Event('online'));
    await vi.advanceTimersByTimeAsync(1);
    await flushPromises();
    expect(load).toHaveBeenCalledTimes(3);
    expect(page.html()).toContain('here');
  });

  it('comes before it is asked for once the page is at rest; one that fails keeps no other back', async () => {
    const first = vi.fn(async () => Promise.reject(new Error('away')));
    const second = vi.fn(async () => ({ default: Part }));
    later(first);
    later(second);
    const done = warmUp();
    await vi.runAllTimersAsync();
    await done;
    expect(first).toHaveBeenCalled();
    expect(second).toHaveBeenCalled();
  });
});
