import type { Message } from '@parley/sdk';
import { shallowRef } from 'vue';

/** The picture that is shown large, over everything. */
export const picture = shallowRef<Message | null>(null);
export const openPicture = (message: Message): void => void (picture.value = message);
export const closePicture = (): void => void (picture.value = null);
