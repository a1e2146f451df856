// Files of messages: links with some life left, downloads, uploads without a message.
import { ApiError, toApiError } from './errors.js';
import type { History } from './history.js';
import type { Http } from './http.js';
import type { Files } from './shape.js';
import { download, type Progress } from './transfer.js';
import type { Message } from './types.js';
import { kindOf, typeOf, type Kind, type Uploads } from './uploads.js';
import type { MediaRef, MessageBody } from './wire.js';

const LEFT_MS = 60_000;

export class FileAccess implements Files {
  constructor(
    private http: Http,
    private history: History,
    private uploads: Uploads,
    private fetcher: typeof fetch,
  ) {}

  async link(message: Message, which: 'file' | 'thumbnail' = 'file'): Promise<string> {
    let media = mediaOf(message.body);
    if (media && media.url_expires_at_ms - Date.now() < LEFT_MS)
      media = mediaOf((await this.history.fresh(message)).body);
    const path = which === 'file' ? media?.object_key : media?.thumbnail_key;
    if (!path) throw new ApiError(404, 'not_found', 'file not found');
    return this.http.absolute(path);
  }

  async download(
    message: Message,
    options: { progress?: Progress; signal?: AbortSignal } = {},
  ): Promise<Blob> {
    try {
      return await download(await this.link(message), this.fetcher, options.progress, options.signal);
    } catch (e) {
      throw toApiError(e);
    }
  }

  async upload(
    file: Blob,
    options: { filename?: string; kind?: Kind; progress?: Progress; signal?: AbortSignal } = {},
  ): Promise<{ file_id: number; object_key: string }> {
    const signal = options.signal ?? new AbortController().signal;
    const content_type = typeOf(file);
    const info = {
      filename: options.filename ?? (file as Partial<File>).name ?? 'file',
      content_type,
      size_bytes: file.size,
      kind: options.kind ?? kindOf(content_type),
    };
    const { file_id, object_key } = await this.uploads.single(info, file, {
      signal,
      sent: (done) => options.progress?.(done, file.size),
    });
    return { file_id, object_key };
  }
}

/** The file of a message, whatever its kind. */
export function mediaOf(body: MessageBody): MediaRef | undefined {
  return body.image ?? body.file ?? body.audio ?? body.video;
}
