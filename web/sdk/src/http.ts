// One HTTP call: headers, deadline, the envelope, errors as ApiError. Nothing here knows of tokens but that one may be sent.
import { ApiError, toApiError } from './errors.js';

/** The web client's own patience; the server answers within 15 s or says that it did not. */
const DEADLINE_MS = 20_000;
/** An answer that takes longer may be on a line that carries nothing. */
const SLOW_MS = 2000;

export type Query = Record<string, string | number | undefined>;

export interface CallInit {
  body?: unknown;
  query?: Query;
  token?: string;
  signal?: AbortSignal | undefined;
  /** ms; default 20 s */
  deadline?: number;
}

/** An answer: the envelope, or the bare object of login and refresh. */
export interface Answer<T> {
  data: T;
  total?: number;
  next_cursor?: string;
  has_more?: boolean;
  latest_seq?: number;
}

export class Http {
  /** Told when a call waits, with the time of its start in unix ms. */
  slow: (since: number) => void = () => {};

  constructor(
    /** Without a slash at its end. */
    readonly base: string,
    readonly device: string,
    private fetcher: typeof fetch,
  ) {}

  /** Throws ApiError, nothing else. */
  async call<T>(method: string, path: string, init: CallInit = {}): Promise<Answer<T>> {
    const headers: Record<string, string> = { 'X-Device-Id': this.device };
    if (init.token) headers['Authorization'] = `Bearer ${init.token}`;
    if (init.body !== undefined) headers['Content-Type'] = 'application/json';
    const since = Date.now();
    const slow = setTimeout(() => this.slow(since), SLOW_MS);
    const stop = new AbortController();
    const abort = () => stop.abort();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      abort();
    }, init.deadline ?? DEADLINE_MS);
    init.signal?.addEventListener('abort', abort);
    if (init.signal?.aborted) abort();
    try {
      const response = await this.fetcher(this.base + path + queryText(init.query), {
        method,
        headers,
        signal: stop.signal,
        ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      });
      const answer = parsed(await response.text());
      if (!response.ok) throw failure(response.status, answer ?? {}, response.headers.get('Retry-After'));
      if (!answer) throw new ApiError(0, 'bad_answer', 'this is no answer of a parley server');
      return typeof answer.code === 'number' && 'data' in answer ? answer : { data: answer };
    } catch (e) {
      throw late ? new ApiError(0, 'timeout', 'no answer in time') : toApiError(e);
    } finally {
      clearTimeout(slow);
      clearTimeout(timer);
      init.signal?.removeEventListener('abort', abort);
    }
  }

  /** An address of the server as a whole one; others as they are. */
  absolute(address: string): string {
    return address.startsWith('/') ? this.base + address : address;
  }
}

/** An object, or undefined: an answer that was cut, or of something that stands before the server. */
export function parsed(text: string): ReturnType<typeof JSON.parse> {
  try {
    const answer: unknown = JSON.parse(text);
    return answer && typeof answer === 'object' ? answer : undefined;
  } catch {
    return undefined;
  }
}

export function failure(
  status: number,
  answer: { code?: string; error?: string; request_id?: string },
  retryAfter: string | null,
): ApiError {
  const code = answer.code ?? (status === 503 ? 'busy' : status === 429 ? 'rate_limited' : 'bad_answer');
  const text = answer.error ?? `status ${status}`;
  return new ApiError(status, code, text, (Number(retryAfter) || 0) * 1000, answer.request_id ?? '');
}

function queryText(query: Query = {}): string {
  const pairs = Object.entries(query).filter(([, v]) => v !== undefined && v !== '');
  if (!pairs.length) return '';
  return '?' + pairs.map(([k, v]) => `${k}=${encodeURIComponent(v!)}`).join('&');
}
