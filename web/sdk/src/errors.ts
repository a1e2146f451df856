// One error class for everything that the server or the way to it refuses.

export class ApiError extends Error {
  override name = 'ApiError';

  /**
   * @param status the HTTP status (of an error frame: 0), or 0 where no answer came
   * @param code the server's symbol, such as 'not_member'; of the library's own: 'network' (no answer: what was asked may have been
   *   done or not), 'timeout', 'aborted', 'signed_out', 'bad_answer'
   * @param retryAfter ms after which a new try makes sense; 0: nothing is known
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter = 0,
    readonly requestId = '',
  ) {
    super(message);
  }

  /** Trying again later may help: nothing is wrong with what was asked. */
  get temporary(): boolean {
    if (this.code === 'bad_answer') return !this.status || this.status >= 500;
    return ['network', 'timeout', 'internal', 'busy', 'rate_limited', 'aborted'].includes(this.code);
  }
}

/** Anything that was thrown, as an ApiError. */
export function toApiError(e: unknown): ApiError {
  if (e instanceof ApiError) return e;
  if (e instanceof Error && e.name === 'AbortError') return new ApiError(0, 'aborted', 'aborted');
  return new ApiError(0, 'network', e instanceof Error ? e.message : String(e));
}
