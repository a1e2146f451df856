import type { MessageBody } from '@parley/sdk';
import { duration, t } from '../i18n';

interface Summed {
  content_type: number;
  body: MessageBody;
  status?: 'normal' | 'recalled';
  sender_id?: number;
}

/** A message in one line, for lists, quotes and notifications. `name`: of who sent it, for what is said about them; '' while
 * nobody knows it. */
export function summary(message: Summed, own: boolean, name: string): string {
  const { body } = message;
  if (message.status === 'recalled') {
    if (own) return t('kind.recalledOwn');
    return name ? t('kind.recalled', { name }) : t('kind.recalledSome');
  }
  if (body.text) return body.text.text.slice(0, 200).replace(/\s+/g, ' ').trim();
  if (body.image) return t('kind.image');
  if (body.file) return body.file.filename;
  if (body.audio) return withLength(t('kind.audio'), body.audio.duration_sec);
  if (body.video) return withLength(t('kind.video'), body.video.duration_sec);
  if (body.call) return callText(body.call, own);
  return t('kind.unknown');
}
const withLength = (text: string, seconds: number) => (seconds ? `${text} ${duration(seconds)}` : text);

export function callText(call: { call_type: string; reason: string }, own: boolean): string {
  const video = call.call_type === 'video';
  if (!own) return t(video ? 'kind.missedVideo' : 'kind.missedAudio');
  if (call.reason === 'cancelled') return t('kind.cancelled');
  return t(video ? 'kind.noAnswerVideo' : 'kind.noAnswer');
}
