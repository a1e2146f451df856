import { ApiError } from '@parley/sdk';
import { t, type Key } from '../i18n';
import { en } from '../i18n/en';

/** The server's symbol for what went wrong, 'other' for anything that the server did not say. */
export function errorCode(error: unknown): string {
  return error instanceof ApiError ? error.code : 'other';
}

/** Of an error of microphone or camera (getUserMedia); '' if it is none. */
export function deviceKey(error: unknown): Key | '' {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'call.noPermission';
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'call.noDevice';
  return name === 'NotReadableError' || name === 'AbortError' ? 'call.deviceBusy' : '';
}

/** What a reader is told. */
export function errorText(error: unknown): string {
  const device = deviceKey(error);
  if (device) return t(device);
  return codeText(
    errorCode(error),
    error instanceof Error ? error.message : String(error),
    (error as ApiError).retryAfter,
  );
}

export function codeText(code: string, message: string, retryAfter = 0): string {
  if (code === 'rate_limited' && retryAfter > 0)
    return t('error.rateLimitedFor', { n: Math.max(1, Math.ceil(retryAfter / 1000)) });
  const symbol = /^(token_|invalid_token|signed_out)/.test(code) ? 'unauthorized' : code;
  const key = `error.${symbol}`;
  return key in en && key !== 'error.other' ? t(key as Key) : t('error.other', { text: message });
}
