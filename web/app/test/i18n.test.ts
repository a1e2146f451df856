import { afterEach, describe, expect, it } from 'vitest';
import {
  ago,
  dayName,
  daysBetween,
  duration,
  locale,
  number,
  setLocale,
  shortTime,
  size,
  t,
} from '../src/i18n';
import { en } from '../src/i18n/en';
import { zh } from '../src/i18n/zh';

type Text = string | { one?: string; other: string };
const forms = (text: Text) =>
  typeof text === 'string' ? [text] : [text.one, text.other].filter((it) => it !== undefined);
const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((it) => it[1]).sort();

afterEach(() => setLocale('en'));

describe('the texts', () => {
  const all = Object.keys(en) as (keyof typeof en)[];

  it('have the same keys in both languages', () => {
    expect(Object.keys(zh).sort()).toEqual([...all].sort());
  });

  it.each(all)('%s has the same parameters in both languages, and no empty form', (key) => {
    const english = forms(en[key] as Text);
    const chinese = forms(zh[key] as Text);
    for (const text of [...english, ...chinese]) expect(text).not.toBe('');
    const wanted = holes(english[english.length - 1]!);
    for (const text of chinese) expect(holes(text)).toEqual(wanted);
  });

  it('that depend on a number have both forms in English and name it as n', () => {
    for (const key of all) {
      const text = en[key] as Text;
      if (typeof text === 'string') continue;
      expect(text.one, key).toBeTruthy();
      expect(holes(text.other), key).toContain('n');
    }
  });
});

describe('t', () => {
  it('chooses the form by the number and fills the parameters', () => {
    expect(t('state.busy', { n: 1 })).toBe('The server is busy. Next try in 1 second');
    expect(t('state.busy', { n: 5 })).toBe('The server is busy. Next try in 5 seconds');
    setLocale('zh');
    expect(t('state.busy', { n: 1 })).toBe('服务器繁忙，1 秒后重试');
  });

  it('does not fill what somebody wrote into a parameter', () => {
    expect(t('presence.lastSeen', { when: '{n} $& {when}' })).toBe('Last seen {n} $& {when}');
  });

  it('tells the document its language', () => {
    setLocale('zh');
    expect(document.documentElement.lang).toBe('zh-CN');
    expect(localStorage.getItem('parley.locale')).toBe('zh');
    expect(locale.value).toBe('zh');
  });
});

describe('times', () => {
  const now = new Date(2026, 2, 10, 0, 30).getTime();

  it('counts days as a calendar does', () => {
    expect(daysBetween(new Date(2026, 2, 9, 23, 59).getTime(), now)).toBe(1);
    expect(daysBetween(new Date(2026, 2, 10, 0, 1).getTime(), now)).toBe(0);
    expect(daysBetween(new Date(2025, 2, 10).getTime(), now)).toBe(365);
  });

  it('are short in a list and whole in a conversation', () => {
    expect(shortTime(now, now)).toMatch(/12:30|0:30|00:30/);
    expect(shortTime(new Date(2026, 2, 9, 23, 59).getTime(), now)).toBe('Yesterday');
    expect(shortTime(new Date(2026, 2, 6).getTime(), now)).toBe('Fri');
    expect(dayName(new Date(2026, 2, 10, 0, 1).getTime(), now)).toBe('Today');
    expect(dayName(new Date(2025, 11, 24).getTime(), now)).toContain('2025');
    setLocale('zh');
    expect(shortTime(new Date(2026, 2, 6).getTime(), now)).toBe('周五');
    expect(dayName(new Date(2025, 11, 24).getTime(), now)).toContain('2025年12月24日');
  });

  it('say how long ago', () => {
    expect(ago(now - 10_000, now)).toBe('just now');
    expect(ago(now - 5 * 60_000, now)).toBe('5 minutes ago');
    expect(ago(now - 5 * 60_000, now, 'short')).toMatch(/^5 min/);
    expect(ago(new Date(2026, 2, 9, 12).getTime(), now)).toBe('yesterday');
  });
});

describe('numbers', () => {
  it('are written as the language has it', () => {
    expect(number(12345)).toBe('12,345');
    expect(size(512)).toBe('512B');
    expect(size(1_250_000)).toBe('1.3 MB');
    expect(size(48_211)).toBe('48 kB');
  });

  it('of seconds are minutes and hours', () => {
    expect([duration(7), duration(750), duration(3723)]).toEqual(['0:07', '12:30', '1:02:03']);
  });
});
