// What stands for a person without a picture. All colours carry white text with a contrast above 4.5.
const colours = [
  '#9a4a3c',
  '#8a5a22',
  '#6d6a1f',
  '#4c7233',
  '#2c7755',
  '#1f7474',
  '#2f6b8f',
  '#4a62a3',
  '#6657a8',
  '#83509b',
  '#97487c',
  '#99475a',
] as const;

export function avatarColour(id: number): string {
  // Neighbouring ids (people who signed up together) must not get neighbouring colours.
  const mixed = Math.imul(id ^ (id >>> 16), 0x45d9f3b) >>> 0;
  return colours[(mixed >>> 8) % colours.length]!;
}

const words = /[\p{L}\p{N}]+/gu;
const wide = /^\p{Script=Han}|^\p{Script=Hiragana}|^\p{Script=Katakana}|^\p{Script=Hangul}/u;

/** One character for scripts that write a word in one (for a Chinese name the last one, as is the custom), else two initials. */
export function initials(name: string): string {
  const found = name.match(words);
  if (!found) return '';
  const first = found[0];
  if (wide.test(first)) {
    const all = [...first];
    return all.length <= 3 ? all[all.length - 1]! : all[0]!;
  }
  const last = found.length > 1 ? found[found.length - 1]! : '';
  return ([...first][0]! + ([...last][0] ?? '')).toUpperCase();
}

/** A picture's address if this host or the page itself serves it; no other host is ever asked. */
export function safeImage(src: string | undefined): string {
  if (!src) return '';
  return /^\/(?![/\\])/.test(src) || src.startsWith('blob:') ? src : '';
}
