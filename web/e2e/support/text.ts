import { en } from '../../app/src/i18n/en';
import { zh } from '../../app/src/i18n/zh';

type Key = keyof typeof en;
type Params = Record<string, string | number>;

/** A text of the app, with its {parameters}; of one that depends on a number the form for that number. */
export function text(key: Key, params: Params = {}, language: 'en' | 'zh' = 'en'): string {
  const found: string | { one?: string; other: string } = { en, zh }[language][key];
  const plain = typeof found === 'string' ? found : (params.n === 1 && found.one) || found.other;
  return plain.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}
