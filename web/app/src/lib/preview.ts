// What the page finds out about a file before it is sent: kind, size in pixels, length, and a small picture of it.
export type Kind = 'image' | 'file' | 'audio' | 'video';
export interface Facts {
  kind: Kind;
  width?: number;
  height?: number;
  /** Whole seconds. */
  duration?: number;
  thumbnail?: Blob;
}
const mega = 1024 * 1024;
/** What the server takes of each kind. */
export const limits: Record<Kind, number> = {
  image: 10 * mega,
  file: 100 * mega,
  audio: 50 * mega,
  video: 500 * mega,
};
/** Pictures that a server and every browser show; others (SVG, HEIC, TIFF) go as files. */
const pictures = /^image\/(png|jpeg|gif|webp)$/i;
const longest = 320;
const patienceMs = 8000;
/** What the server takes of a picture. One that says it has more is not decoded here either: it could take all memory there is. */
export const most = { megapixels: 50, side: 16_384 } as const;

export function kindOf(type: string, bytes: number): Kind {
  const kind: Kind = pictures.test(type)
    ? 'image'
    : /^audio\//i.test(type)
      ? 'audio'
      : /^video\//i.test(type)
        ? 'video'
        : 'file';
  return bytes > limits[kind] && kind !== 'video' && bytes <= limits.file ? 'file' : kind;
}

/** width x height, scaled down so that the longer side is at most `side`. */
export function scaled(width: number, height: number, side = longest): { width: number; height: number } {
  const scale = Math.min(1, side / Math.max(width, height, 1));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Never fails: a file that cannot be read goes without facts. */
export async function examine(file: Blob): Promise<Facts> {
  const kind = kindOf(file.type, file.size);
  try {
    if (kind === 'image') return { kind, ...(await picture(file)) };
    if (kind === 'video' || kind === 'audio') return { kind, ...(await film(file, kind)) };
  } catch {
    // The file itself is sent all the same.
  }
  return { kind };
}

/** Reads the size from the first bytes of PNG, GIF, WebP and JPEG, without decoding anything. */
export function pixelsIn(bytes: Uint8Array): { width: number; height: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, n: number) => String.fromCharCode(...bytes.subarray(at, at + n));
  if (bytes.length < 30) return null;
  if (text(1, 3) === 'PNG') return { width: view.getUint32(16), height: view.getUint32(20) };
  if (text(0, 3) === 'GIF') return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
  if (text(8, 4) === 'WEBP') {
    const form = text(12, 4);
    if (form === 'VP8X')
      return {
        width: 1 + (view.getUint32(24, true) & 0xffffff),
        height: 1 + (view.getUint32(26, true) >>> 8),
      };
    if (form === 'VP8 ')
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    if (form === 'VP8L') {
      const bits = view.getUint32(21, true);
      return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
    }
    return null;
  }
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < bytes.length;) {
    if (bytes[at] !== 0xff) return null;
    const mark = bytes[at + 1]!;
    if (mark >= 0xc0 && mark <= 0xcf && mark !== 0xc4 && mark !== 0xc8 && mark !== 0xcc)
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

/** Does the picture say of itself that it has more pixels than anybody here decodes? */
export async function isTooWide(file: Blob): Promise<boolean> {
  const found = await pixelsOf(file);
  return !!found && !fits(found);
}
async function pixelsOf(file: Blob): Promise<{ width: number; height: number } | null> {
  return pixelsIn(new Uint8Array(await file.slice(0, 256 * 1024).arrayBuffer()));
}
export const fits = ({ width, height }: { width: number; height: number }): boolean =>
  width * height <= most.megapixels * 1e6 && Math.max(width, height) <= most.side;

async function picture(file: Blob): Promise<Omit<Facts, 'kind'>> {
  const found = await pixelsOf(file);
  if (!found || !fits(found)) return {};
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  const { width, height } = bitmap;
  const thumbnail = await draw(bitmap, width, height);
  bitmap.close();
  return { width, height, ...(thumbnail && { thumbnail }) };
}

async function film(file: Blob, kind: 'audio' | 'video'): Promise<Omit<Facts, 'kind'>> {
  const url = URL.createObjectURL(file);
  const element = document.createElement(kind);
  element.muted = true;
  element.preload = 'auto';
  try {
    element.src = url;
    await until(element, 'loadedmetadata');
    const facts: Omit<Facts, 'kind'> = Number.isFinite(element.duration)
      ? { duration: Math.max(1, Math.round(element.duration)) }
      : {};
    if (!(element instanceof HTMLVideoElement) || !element.videoWidth) return facts;
    element.currentTime = Math.min(1, element.duration / 3 || 0);
    await until(element, 'seeked').catch(() => {});
    const { videoWidth: width, videoHeight: height } = element;
    const thumbnail = await draw(element, width, height);
    return { ...facts, width, height, ...(thumbnail && { thumbnail }) };
  } finally {
    element.removeAttribute('src');
    element.load();
    URL.revokeObjectURL(url);
  }
}
function until(element: HTMLMediaElement, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('too slow')), patienceMs);
    element.addEventListener(event, () => (clearTimeout(timer), resolve()), { once: true });
    element.addEventListener('error', () => (clearTimeout(timer), reject(new Error('unreadable'))), {
      once: true,
    });
  });
}

async function draw(source: CanvasImageSource, width: number, height: number): Promise<Blob | null> {
  const canvas = document.createElement('canvas');
  const to = scaled(width, height);
  canvas.width = to.width;
  canvas.height = to.height;
  const context = canvas.getContext('2d');
  if (!context) return null;
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, to.width, to.height);
  const made = (type: string) => new Promise<Blob | null>((done) => canvas.toBlob(done, type, 0.72));
  const webp = await made('image/webp');
  if (webp?.type === 'image/webp') return webp;
  // A browser that cannot write WebP makes PNG of it, which is large; JPEG has no transparency, so the ground is white.
  context.globalCompositeOperation = 'destination-over';
  context.fillStyle = '#fff';
  context.fillRect(0, 0, to.width, to.height);
  return made('image/jpeg');
}
