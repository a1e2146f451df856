// Finding without regard to case and accents.
const fold = (text: string) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

export const matches = (text: string, wanted: string): boolean => fold(text).includes(fold(wanted.trim()));

/** A text around the first place that holds what was looked for, in pieces; the places themselves are marked. */
export function excerpt(text: string, wanted: string, before = 24): { text: string; hit: boolean }[] {
  const flat = text.replace(/\s+/g, ' ');
  const needle = wanted.trim().toLowerCase();
  const low = flat.toLowerCase();
  // Folding to lower case may change lengths in rare scripts; then nothing is marked.
  if (!needle || low.length !== flat.length) return [{ text: flat.slice(0, 160), hit: false }];
  const first = low.indexOf(needle);
  const from = Math.max(0, first - before);
  const out: { text: string; hit: boolean }[] = [];
  let done = from;
  const end = Math.min(flat.length, from + 160);
  for (let at = first; at >= 0 && at < end; at = low.indexOf(needle, at + needle.length)) {
    if (at > done) out.push({ text: flat.slice(done, at), hit: false });
    out.push({ text: flat.slice(at, at + needle.length), hit: true });
    done = at + needle.length;
  }
  if (done < end) out.push({ text: flat.slice(done, end), hit: false });
  if (from > 0 && out[0]) out.unshift({ text: '…', hit: false });
  return out;
}
