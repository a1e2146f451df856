// Text of a message in pieces: what is an address becomes a link, all else stays text. Only http and https ever become
// links, and what is shown is what is opened: an address that would be read differently than it is written stays text.
export interface Piece {
  text: string;
  href?: string;
}

const candidate = /\b(?:https?:\/\/|www\.)[^\s<>"'`，。；：！？、“”‘’（）《》【】「」]+/giu;
const most = 200;

export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let done = 0;
  let links = 0;
  for (const match of text.matchAll(candidate)) {
    if (links === most) break;
    const raw = trim(match[0]);
    const href = address(raw);
    if (!href) continue;
    links++;
    if (match.index > done) found.push({ text: text.slice(done, match.index) });
    found.push({ text: raw, href });
    done = match.index + raw.length;
  }
  if (done < text.length || !found.length) found.push({ text: text.slice(done) });
  return found;
}

/** Without the full stop, comma or closing bracket of the sentence around it. Each character is looked at once: a message may be one long address. */
function trim(raw: string): string {
  // how many more closing brackets than opening ones there are before `end`
  const extra = new Map(
    ['()', '[]', '{}'].map(([open, close]) => [close, count(raw, close!) - count(raw, open!)]),
  );
  let end = raw.length;
  for (; end > 0; end--) {
    const last = raw[end - 1]!;
    if (/[.,;:!?*_~…]/.test(last)) continue;
    const more = extra.get(last) ?? 0;
    if (more <= 0) break;
    extra.set(last, more - 1);
  }
  return raw.slice(0, end);
}
function count(text: string, sign: string): number {
  return text.split(sign).length - 1;
}

function address(raw: string): string {
  try {
    const url = new URL(/^www\./i.test(raw) ? `https://${raw}` : raw);
    // A name before an @ is there to look like another host.
    if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.username || url.password) return '';
    return url.hostname.includes('.') || url.hostname === 'localhost' || url.hostname.startsWith('[')
      ? url.href
      : '';
  } catch {
    return '';
  }
}

const picture = /^[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}\u200d\ufe0f\s]+$/u;
/** How many emoji a text is made of, if of nothing else and of no more than three; else 0. They are shown large. */
export function onlyEmoji(text: string): number {
  if (text.length > 48 || !picture.test(text)) return 0;
  const n = [...new Intl.Segmenter().segment(text.replace(/\s+/g, ''))].length;
  return n <= 3 ? n : 0;
}
