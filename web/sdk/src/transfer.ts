// Bytes up and down: one PUT with progress, one download with progress.
import { ApiError } from './errors.js';
import { failure, parsed } from './http.js';

export type Progress = (done: number, all: number) => void;

/** A transfer of which nothing moves for so long is given up (the server does so after 30 s). */
const STALL_MS = 45_000;
/** Where progress cannot be seen: bytes in a second that even a bad line brings. */
const SLOW = 20_000;

const aborted = () => new ApiError(0, 'aborted', 'aborted');

/** PUTs a blob as it is. In a page by XMLHttpRequest, which alone tells progress; elsewhere progress is told at the end. */
export function put(
  url: string,
  body: Blob,
  signal: AbortSignal,
  progress: Progress,
  fetcher: typeof fetch,
): Promise<void> {
  if (signal.aborted) return Promise.reject(aborted());
  return typeof XMLHttpRequest === 'function'
    ? putByRequest(url, body, signal, progress)
    : putByFetch(url, body, signal, progress, fetcher);
}

function putByRequest(url: string, body: Blob, signal: AbortSignal, progress: Progress): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stall: ReturnType<typeof setTimeout>;
    const alive = () => {
      clearTimeout(stall);
      stall = setTimeout(() => request.abort(), STALL_MS);
    };
    const stop = () => request.abort();
    request.open('PUT', url);
    if (body.type) request.setRequestHeader('Content-Type', body.type);
    request.upload.onprogress = (e) => {
      alive();
      progress(e.loaded, body.size);
    };
    request.onloadend = () => {
      clearTimeout(stall);
      signal.removeEventListener('abort', stop);
      if (request.status >= 200 && request.status < 300) return resolve();
      if (signal.aborted) return reject(aborted());
      reject(
        request.status
          ? bodyError(request.status, request.responseText, request.getResponseHeader('Retry-After'))
          : cut(),
      );
    };
    signal.addEventListener('abort', stop);
    alive();
    request.send(body);
  });
}

async function putByFetch(
  url: string,
  body: Blob,
  signal: AbortSignal,
  progress: Progress,
  fetcher: typeof fetch,
): Promise<void> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  signal.addEventListener('abort', abort);
  const timer = setTimeout(abort, STALL_MS + (body.size / SLOW) * 1000);
  try {
    const response = await fetcher(url, { method: 'PUT', body, signal: stop.signal });
    const text = await response.text();
    if (!response.ok) throw bodyError(response.status, text, response.headers.get('Retry-After'));
    progress(body.size, body.size);
  } catch (e) {
    if (e instanceof ApiError) throw e;
    throw signal.aborted ? aborted() : cut();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

/** Reads a whole file. */
export async function download(
  url: string,
  fetcher: typeof fetch,
  progress: Progress = () => {},
  signal?: AbortSignal,
): Promise<Blob> {
  const response = await fetcher(url, signal ? { signal } : {});
  if (!response.ok)
    throw bodyError(response.status, await response.text(), response.headers.get('Retry-After'));
  const type = response.headers.get('Content-Type') ?? '';
  if (!response.body) return response.blob();
  const all = Number(response.headers.get('Content-Length')) || 0;
  const parts: BlobPart[] = [];
  const reader = response.body.getReader();
  for (let done = 0; ;) {
    const step = await reader.read();
    if (step.done) return new Blob(parts, { type });
    parts.push(step.value as BlobPart);
    progress((done += step.value.length), all);
  }
}

const cut = () => new ApiError(0, 'network', 'the transfer was cut');

/** Stores of others answer with XML: then only the status counts. */
function bodyError(status: number, text: string, retryAfter: string | null): ApiError {
  return failure(status, parsed(text) ?? {}, retryAfter);
}
