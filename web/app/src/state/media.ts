import type { MediaRef, Message } from '@parley/sdk';
import { onScopeDispose, ref, watch, type Ref } from 'vue';
import { client } from './client';

// Addresses of files. Those in a message end some day; the sdk asks for new ones then.
export const mediaOf = (message: Pick<Message, 'body'>): MediaRef | undefined => {
  const { image, file, audio, video } = message.body;
  return image ?? file ?? audio ?? video;
};

export const fileLink = (message: Message, which: 'file' | 'thumbnail' = 'file') =>
  client.files.link(message, which);

/**
 * '' until there is one; `failed` when there is none. Bind `lost` to the element's error event: a page that was open for a day
 * shows links that have ended, and one new try gets another.
 */
export function useLink(
  message: Ref<Message | undefined>,
  which: 'file' | 'thumbnail',
): { url: Ref<string>; failed: Ref<boolean>; lost: () => void } {
  const url = ref('');
  const failed = ref(false);
  let gone = false;
  let again = false;

  async function ask(now: Message | undefined): Promise<void> {
    failed.value = false;
    if (!now || !mediaOf(now)) return void (url.value = '');
    try {
      const found = await fileLink(now, which);
      if (gone || message.value !== now) return;
      // The same address failed a moment ago and would fail again.
      if (again && found === url.value) failed.value = true;
      url.value = found;
    } catch {
      failed.value = message.value === now;
    }
  }
  function lost(): void {
    if (again || !message.value) return void (failed.value = true);
    again = true;
    void ask(message.value);
  }
  watch(
    message,
    (now) => {
      again = false;
      void ask(now);
    },
    { immediate: true },
  );
  onScopeDispose(() => (gone = true));
  return { url, failed, lost };
}

/** Hands a file to the browser's downloads. The server says "attachment" for all that is not a picture, sound or film. */
export async function download(message: Message): Promise<void> {
  const link = document.createElement('a');
  link.href = await fileLink(message);
  link.download = mediaOf(message)?.filename ?? '';
  link.rel = 'noopener';
  link.click();
}
