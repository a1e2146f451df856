import { t } from '../i18n';
import { isTooWide, most } from './preview';

// A picture of a person or a group from what somebody chose: the middle of it, square, small.
const side = 320;

/** Throws when the browser cannot read it as a picture, or should not try. */
export async function square(file: File): Promise<Blob> {
  if (await isTooWide(file)) {
    throw new Error(t('compose.tooWide', { name: file.name, n: most.megapixels }));
  }
  const picture = await createImageBitmap(file);
  const length = Math.min(picture.width, picture.height);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = Math.min(side, length);
  const left = (picture.width - length) / 2;
  const top = (picture.height - length) / 2;
  canvas.getContext('2d')!.drawImage(picture, left, top, length, length, 0, 0, canvas.width, canvas.height);
  picture.close();
  const made = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', 0.86));
  if (!made) throw new Error('the picture is too large for this browser');
  return made;
}
