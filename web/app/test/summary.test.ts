import type { MessageBody } from '@parley/sdk';
import { ApiError } from '@parley/sdk';
import { afterEach, describe, expect, it } from 'vitest';
import { setLocale } from '../src/i18n';
import { summary } from '../src/lib/summary';
import { errorText } from '../src/state/errors';

afterEach(() => setLocale('en'));
const file = (duration_sec = 0) =>
  ({ file_id: 1, filename: 'a b.pdf', duration_sec, content_type: '', size_bytes: 1 }) as never;
const call = (reason: string, call_type = 'audio') => ({ call: { reason, call_type } as never });
const one = (body: MessageBody, own = false) => summary({ content_type: 1, body }, own, 'Tom');

describe('a message in one line', () => {
  it('says what kind it is', () => {
    expect(one({ text: { text: ' two\n\nlines ' } })).toBe('two lines');
    expect(one({ image: file() })).toBe('Photo');
    expect(one({ file: file() })).toBe('a b.pdf');
    expect(one({ audio: file(12) })).toBe('Voice message 0:12');
    expect(one({ video: file() })).toBe('Video');
    expect(one({})).toBe('This kind of message cannot be shown here');
  });

  it('tells a call from the side of the reader', () => {
    expect(one(call('timeout'))).toBe('Missed call');
    expect(one(call('cancelled', 'video'))).toBe('Missed video call');
    expect(one(call('unavailable'), true)).toBe('Call without answer');
    expect(one(call('cancelled'), true)).toBe('Cancelled call');
  });

  it('tells who recalled', () => {
    const recalled = { content_type: 1, body: {}, status: 'recalled' as const };
    expect(summary(recalled, true, 'Me')).toBe('You recalled a message');
    expect(summary(recalled, false, 'Tom')).toBe('Tom recalled a message');
    expect(summary(recalled, false, '')).toBe('A message was recalled');
    setLocale('zh');
    expect(summary(recalled, false, '小明')).toBe('小明撤回了一条消息');
  });

  it('is short', () => expect(one({ text: { text: 'x'.repeat(9000) } }).length).toBe(200));
});

describe('what went wrong', () => {
  it('is told in the words of the reader', () => {
    const error = new ApiError(400, 'invalid_credentials', 'invalid username or password');
    expect(errorText(error)).toBe('Wrong username or password.');
    setLocale('zh');
    expect(errorText(error)).toBe('用户名或密码错误。');
  });

  it('says how long to wait', () => {
    expect(errorText(new ApiError(429, 'rate_limited', 'x', 4200))).toBe('Too many tries. Wait 5 seconds.');
    expect(errorText(new ApiError(429, 'rate_limited', 'x', 10))).toBe('Too many tries. Wait 1 second.');
  });

  it('keeps the server’s words for what this app does not know', () => {
    expect(errorText(new ApiError(400, 'new_symbol', 'odd thing'))).toBe('That did not work: odd thing');
    expect(errorText(new ApiError(400, 'other', 'odd thing'))).toBe('That did not work: odd thing');
    expect(errorText(new ApiError(401, 'token_revoked', 'invalid token'))).toBe('Please sign in again.');
  });
});
