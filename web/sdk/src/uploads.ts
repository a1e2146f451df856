// Uploads that survive a bad line and a reload: up to 16 MiB by one PUT, larger files in parts. What is done is in the store; the
// file itself too, unless it is large: then the same file has to be given again after a reload, and only what lacks is sent.
import { ApiError, toApiError } from './errors.js';
import type { Http } from './http.js';
import type { Session } from './session.js';
import type { Store } from './store.js';
import { backoff, sleep, unique } from './timing.js';
import { put } from './transfer.js';
import type { FileOptions, UploadInfo } from './types.js';
import { AUDIO, FILE, IMAGE, VIDEO } from './wire.js';

const SINGLE_MAX = 16 * 2 ** 20;
/** Larger files are not copied into the store. */
const KEEP_MAX = 32 * 2 ** 20;
const PARTS_AT_ONCE = 3;
/** Tries of one PUT that the store refuses; what only the line is to blame for is tried for ever. */
const TRIES = 5;

const kinds = { image: IMAGE, file: FILE, audio: AUDIO, video: VIDEO } as const;
export type Kind = keyof typeof kinds;

/** What row 48 of the contract wants to know of a finished upload. */
export interface Completed {
  file_id: number;
  width?: number;
  height?: number;
  duration_sec?: number;
  thumbnail_object_key?: string;
}

interface UploadRow {
  id: string;
  filename: string;
  content_type: string;
  size_bytes: number;
  kind: Kind;
  width?: number;
  height?: number;
  duration_sec?: number;
  blob?: Blob;
  thumbnail?: Blob;
  thumbnail_object_key?: string;
  /** The multipart upload that has been begun. */
  file_id?: number;
}

interface Ticket {
  file_id: number;
  object_key: string;
  upload_url: string;
}

interface Multipart {
  file_id: number;
  object_key: string;
  part_size: number;
  part_count: number;
}

interface Prepared {
  content_type: number;
  upload: UploadInfo;
  uploadId: string;
}

/** One upload on its way. */
interface Job {
  signal: AbortSignal;
  /** Bytes that the store has so far. */
  sent(bytes: number): void;
  /** Asked before each step: aborts the signal if it is somebody else's by now. */
  own?(): Promise<void>;
}

export class Uploads {
  /** Files given by this program, kept while it runs. */
  private files = new Map<string, Blob>();

  constructor(
    private session: Session,
    private http: Http,
    private store: Store,
    private fetcher: typeof fetch,
  ) {}

  /** Notes a file to be sent. */
  async prepare(file: Blob, options: FileOptions): Promise<Prepared> {
    const content_type = typeOf(file);
    const filename = (options.filename ?? (file as Partial<File>).name ?? '')
      .replace(/[\0-\x1f\x7f]/g, ' ')
      .slice(-255);
    const row: UploadRow = {
      id: unique(),
      filename: filename || 'file',
      content_type,
      size_bytes: file.size,
      kind: options.kind ?? kindOf(content_type),
    };
    if (options.width) row.width = Math.round(options.width);
    if (options.height) row.height = Math.round(options.height);
    if (options.duration) row.duration_sec = Math.round(options.duration);
    if (options.thumbnail) row.thumbnail = options.thumbnail;
    if (file.size <= KEEP_MAX) row.blob = file;
    this.files.set(row.id, file);
    await this.save(row);
    const upload = { filename: row.filename, content_type, size_bytes: file.size, sent_bytes: 0 };
    return { content_type: kinds[row.kind], upload, uploadId: row.id };
  }

  /** The file of an upload that began before a reload. It must be the same. */
  async provide(id: string, file: Blob): Promise<void> {
    const row = await this.row(id);
    if (row.size_bytes !== file.size || row.content_type !== typeOf(file)) {
      throw new ApiError(0, 'bad_request', 'not the same file');
    }
    this.files.set(id, file);
  }

  /** Does what is not done yet. */
  async run(id: string, job: Job): Promise<Completed> {
    const row = await this.row(id);
    const file = this.files.get(id) ?? row.blob;
    if (!file) throw new ApiError(0, 'file_needed', 'the same file is needed again');
    if (row.thumbnail && !row.thumbnail_object_key) {
      const small = row.thumbnail;
      const info = {
        filename: 'thumbnail',
        content_type: typeOf(small),
        size_bytes: small.size,
        kind: 'image' as const,
      };
      row.thumbnail_object_key = (await this.single(info, small, { ...job, sent: () => {} })).object_key;
      await this.save(row);
    }
    const { file_id } =
      row.size_bytes <= SINGLE_MAX ? await this.single(row, file, job) : await this.parts(row, file, job);
    const done: Completed = { file_id };
    for (const key of ['width', 'height', 'duration_sec', 'thumbnail_object_key'] as const) {
      if (row[key] !== undefined) Object.assign(done, { [key]: row[key] });
    }
    return done;
  }

  /** @param abort tells the server that the rest will not come */
  async forget(id: string, abort: boolean): Promise<void> {
    this.files.delete(id);
    const row = await this.store.write(async (tx) => {
      const found = await tx.get<UploadRow>('uploads', id);
      tx.delete('uploads', id);
      return found;
    });
    if (abort && row?.file_id) {
      await this.session.call('DELETE', `/api/files/multipart/${row.file_id}`).catch(() => {});
    }
  }

  /** One PUT. */
  async single(
    {
      filename,
      content_type,
      size_bytes,
      kind,
    }: Pick<UploadRow, 'filename' | 'content_type' | 'size_bytes' | 'kind'>,
    file: Blob,
    job: Job,
  ): Promise<Ticket> {
    const { signal } = job;
    return patiently(job, async () => {
      const body = { filename, content_type, size_bytes, kind };
      const ticket = (await this.session.call<Ticket>('POST', '/api/files/upload', { body, signal })).data;
      await this.put(ticket.upload_url, file.slice(0, file.size, content_type), job);
      return ticket;
    });
  }

  /** What the server has already is not sent again; an upload that it has forgotten begins anew. */
  private async parts(row: UploadRow, file: Blob, job: Job): Promise<Multipart> {
    const { signal } = job;
    const known = row.file_id ? await patiently(job, () => this.known(row.file_id!, signal)) : null;
    const upload = known ?? {
      ...(await patiently(job, () => this.begin(row, signal))),
      status: 'open',
      parts: [],
    };
    if (upload.status === 'complete') return upload;
    const moved = new Map<number, number>();
    const tell = (part: number, bytes: number) => {
      moved.set(part, bytes);
      job.sent([...moved.values()].reduce((a, b) => a + b, 0));
    };
    for (const part of upload.parts) tell(part.part_number, part.size_bytes);
    const lacking = Array.from({ length: upload.part_count }, (_, i) => i + 1).filter((n) => !moved.has(n));
    const stop = new AbortController();
    const abort = () => stop.abort();
    signal.addEventListener('abort', abort);
    try {
      if (signal.aborted) abort();
      const worker = async () => {
        for (let n; (n = lacking.shift());)
          await this.part(upload, n, file, { ...job, signal: stop.signal }, tell);
      };
      await Promise.all(Array.from({ length: PARTS_AT_ONCE }, worker));
    } finally {
      stop.abort();
      signal.removeEventListener('abort', abort);
    }
    await patiently(job, () =>
      this.session.call('POST', `/api/files/multipart/${upload.file_id}/complete`, { body: {}, signal }),
    );
    return upload;
  }

  private part(
    { file_id, part_size }: Multipart,
    n: number,
    file: Blob,
    job: Job,
    tell: (part: number, bytes: number) => void,
  ): Promise<void> {
    const { signal } = job;
    return patiently(job, async () => {
      const body = { part_numbers: [n] };
      const path = `/api/files/multipart/${file_id}/parts`;
      const [link] = (await this.session.call<{ upload_url: string }[]>('POST', path, { body, signal })).data;
      const sent = (bytes: number) => tell(n, bytes);
      await this.put(link!.upload_url, file.slice((n - 1) * part_size, n * part_size), { signal, sent });
    });
  }

  private async begin(row: UploadRow, signal: AbortSignal): Promise<Multipart> {
    const { filename, content_type, size_bytes, kind } = row;
    const body = { filename, content_type, size_bytes, kind };
    const begun = (await this.session.call<Multipart>('POST', '/api/files/multipart', { body, signal })).data;
    row.file_id = begun.file_id;
    await this.save(row);
    return begun;
  }

  private async known(
    id: number,
    signal: AbortSignal,
  ): Promise<(Multipart & { status: string; parts: { part_number: number; size_bytes: number }[] }) | null> {
    try {
      const path = `/api/files/multipart/${id}`;
      const answer = await this.session.call<Awaited<ReturnType<Uploads['known']>>>('GET', path, { signal });
      return answer.data?.status === 'aborted' ? null : answer.data;
    } catch (e) {
      if (e instanceof ApiError && e.status === 404) return null;
      throw e;
    }
  }

  private put(url: string, body: Blob, { signal, sent }: Job): Promise<void> {
    return put(this.http.absolute(url), body, signal, sent, this.fetcher);
  }

  private async row(id: string): Promise<UploadRow> {
    const row = await this.store.read((tx) => tx.get<UploadRow>('uploads', id));
    if (!row) throw new ApiError(0, 'file_needed', 'the upload is forgotten');
    return row;
  }

  private async save(row: UploadRow): Promise<void> {
    await this.store.write(async (tx) => tx.put('uploads', row.id, row));
  }
}

export function typeOf(file: Blob): string {
  return file.type.split(';')[0]!.trim().toLowerCase() || 'application/octet-stream';
}

export function kindOf(type: string): Kind {
  const kind = type.split('/')[0]!;
  return kind === 'image' || kind === 'audio' || kind === 'video' ? kind : 'file';
}

/** Tries again: for ever what only the line or a busy server is to blame for, some times what a fresh link may cure. */
async function patiently<T>({ signal, own }: Job, fn: () => Promise<T>): Promise<T> {
  for (let tries = 0, refused = 0; ; tries++) {
    try {
      await own?.();
      if (signal.aborted) throw new ApiError(0, 'aborted', 'aborted');
      return await fn();
    } catch (e) {
      const error = toApiError(e);
      const cure =
        error.code === 'bad_signature' || error.status === 400 || (error.status >= 500 && !error.temporary);
      if (signal.aborted) throw new ApiError(0, 'aborted', 'aborted');
      if (!error.temporary && !(cure && ++refused < TRIES)) throw error;
      await sleep(error.retryAfter + backoff(tries, 300, 15_000));
      if (signal.aborted) throw new ApiError(0, 'aborted', 'aborted');
    }
  }
}
