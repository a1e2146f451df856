import { ref, watch } from 'vue';
import { nowByDay, startOfDay } from '../lib/now';
import { en } from './en';
import { zh } from './zh';

// t('key', { n: 3 }): the text in the language of the reader. All of it is reactive: a change of language draws anew.
type Plural = { readonly one?: string; readonly other: string };
export type Key = keyof typeof en;
export type Texts = Record<Key, string | Plural>;
export type Locale = 'en' | 'zh';
type Params = Record<string, string | number>;

const texts: Record<Locale, Texts> = { en, zh };
const tags: Record<Locale, string> = { en: 'en', zh: 'zh-CN' };
export const locales: { id: Locale; name: string }[] = [
  { id: 'en', name: 'English' },
  { id: 'zh', name: '中文' },
];
const stored = 'parley.locale';

function first(): Locale {
  const kept = localStorage.getItem(stored);
  if (kept === 'en' || kept === 'zh') return kept;
  for (const tag of navigator.languages) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

export const locale = ref<Locale>(first());
watch(locale, (now) => (document.documentElement.lang = tags[now]), { immediate: true, flush: 'sync' });

export function setLocale(to: Locale): void {
  locale.value = to;
  localStorage.setItem(stored, to);
}

/** The reader's own region if it is of the language that is shown (en-GB writes dates in another way than en-US). */
function tag(): string {
  return navigator.languages.find((it) => it.split('-')[0] === locale.value) ?? tags[locale.value];
}

const made = new Map<string, unknown>();
function cached<T>(key: string, make: () => T): T {
  let it = made.get(key) as T | undefined;
  if (!it) made.set(key, (it = make()));
  return it;
}
function dates(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const of = tag();
  return cached(`d${of}${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(of, options));
}

export function t(key: Key, params?: Params): string {
  const of = locale.value;
  const found: string | Plural = texts[of][key];
  let text: string;
  if (typeof found === 'string') text = found;
  else {
    const rules = cached(`p${of}`, () => new Intl.PluralRules(tags[of]));
    text = (rules.select(Number(params?.n ?? 0)) === 'one' && found.one) || found.other;
  }
  if (!params) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    return value === undefined ? whole : typeof value === 'number' ? number(value) : value;
  });
}

export function number(value: number): string {
  const of = tag();
  return cached(`n${of}`, () => new Intl.NumberFormat(of)).format(value);
}

export function size(bytes: number): string {
  const of = tag();
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;
  let at = 0;
  let value = bytes;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  const digits = value < 10 && at > 0 ? 1 : 0;
  return cached(`s${of}${at}${digits}`, () => {
    return new Intl.NumberFormat(of, {
      style: 'unit',
      unit: units[at]!,
      // A byte has no short name in some languages, but a narrow one in all.
      unitDisplay: at === 0 ? 'narrow' : 'short',
      maximumFractionDigits: digits,
    });
  }).format(value);
}

/** Minutes and seconds of a recording or a call: 0:07, 12:30, 1:02:03. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** Whole days between two moments as a calendar counts them; a day with a change of clocks is one, too. */
export function daysBetween(earlier: number, later: number): number {
  return Math.round((startOfDay(later) - startOfDay(earlier)) / 86_400_000);
}

export function clock(ms: number): string {
  return dates({ hour: 'numeric', minute: '2-digit' }).format(ms);
}

/** As short as a list wants it: a time today, yesterday, a weekday, a date. */
export function shortTime(ms: number, now = nowByDay()): string {
  const days = daysBetween(ms, now);
  if (days <= 0) return clock(ms);
  if (days === 1) return t('time.yesterday');
  if (days < 7) return dates({ weekday: 'short' }).format(ms);
  if (new Date(ms).getFullYear() === new Date(now).getFullYear())
    return dates({ month: 'short', day: 'numeric' }).format(ms);
  return dates({ year: 'numeric', month: 'numeric', day: 'numeric' }).format(ms);
}

/** The mark between two days of a conversation. */
export function dayName(ms: number, now = nowByDay()): string {
  const days = daysBetween(ms, now);
  if (days === 0) return t('time.today');
  if (days === 1) return t('time.yesterday');
  if (days > 0 && days < 7) return dates({ weekday: 'long' }).format(ms);
  const year =
    new Date(ms).getFullYear() !== new Date(now).getFullYear() ? ({ year: 'numeric' } as const) : {};
  return dates({ ...year, weekday: 'short', month: 'long', day: 'numeric' }).format(ms);
}

export function fullTime(ms: number): string {
  return dates({ dateStyle: 'full', timeStyle: 'short' }).format(ms);
}

/** "5 minutes ago", "yesterday"; `short` is "5 min. ago". */
export function ago(ms: number, now = Date.now(), style: 'long' | 'short' = 'long'): string {
  const minutes = Math.floor((now - ms) / 60_000);
  if (minutes < 1) return t('time.now');
  const of = tag();
  const relative = cached(
    `r${of}${style}`,
    () => new Intl.RelativeTimeFormat(of, { numeric: 'auto', style }),
  );
  if (minutes < 60) return relative.format(-minutes, 'minute');
  const days = daysBetween(ms, now);
  if (days === 0) return relative.format(-Math.floor(minutes / 60), 'hour');
  return days < 7 ? relative.format(-days, 'day') : shortTime(ms, now);
}
