import { en } from '../../app/src/i18n/en';

/** A text of the app in English, with its {parameters}; of one that depends on a number the form for many. */
export function text(key: keyof typeof en, params: Record<string, string | number> = {}): string {
  const found = en[key];
  const plain = typeof found === 'string' ? found : params.n === 1 ? found.one : found.other;
  return plain.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}
