import { describe, expect, it } from 'vitest';
import { fits, kindOf, limits, pixelsIn, scaled } from '../src/lib/preview';

const bytes = (text: string, length = 64) => {
  const all = new Uint8Array(length);
  text.split(' ').forEach((hex, at) => (all[at] = parseInt(hex, 16)));
  return all;
};

describe('the kind of a file', () => {
  it.each([
    ['image/png', 100, 'image'],
    ['IMAGE/JPEG', 100, 'image'],
    ['image/svg+xml', 100, 'file'],
    ['image/heic', 100, 'file'],
    ['text/html', 100, 'file'],
    ['', 100, 'file'],
    ['audio/webm', 100, 'audio'],
    ['video/mp4', limits.file + 1, 'video'],
    ['image/png', limits.image + 1, 'file'],
    ['audio/wav', limits.audio + 1, 'file'],
  ])('%s of %i bytes is %s', (type, size, kind) => expect(kindOf(type, size)).toBe(kind));
});

describe('the size of a picture', () => {
  it.each([
    [30_000, 30_000, false],
    [1000, 16_385, false],
    [1000, 16_384, true],
    [7071, 7071, true],
    [7072, 7072, false],
  ])('%i x %i is decoded: %s', (width, height, yes) => expect(fits({ width, height })).toBe(yes));
  it('is read from its first bytes', () => {
    expect(pixelsIn(bytes('89 50 4e 47 d a 1a a 0 0 0 d 49 48 44 52 0 0 2 80 0 0 1 e0'))).toEqual({
      width: 640,
      height: 480,
    });
    expect(pixelsIn(bytes('47 49 46 38 39 61 80 2 e0 1'))).toEqual({ width: 640, height: 480 });
    expect(pixelsIn(bytes('ff d8 ff e0 0 4 0 0 ff c0 0 11 8 1 e0 2 80 3'))).toEqual({
      width: 640,
      height: 480,
    });
    expect(
      pixelsIn(bytes('52 49 46 46 0 0 0 0 57 45 42 50 56 50 38 58 a 0 0 0 0 0 0 0 7f 2 0 df 1 0')),
    ).toEqual({ width: 640, height: 480 });
  });

  it('is unknown for anything else', () => {
    for (const it of [bytes('0'), bytes('ff d8 0 0'), bytes('3c 73 76 67'), new Uint8Array(3)])
      expect(pixelsIn(it)).toBeNull();
  });

  it('shrinks with its sides in proportion', () => {
    expect(scaled(4000, 1000)).toEqual({ width: 320, height: 80 });
    expect(scaled(100, 50)).toEqual({ width: 100, height: 50 });
    expect(scaled(10_000, 1)).toEqual({ width: 320, height: 1 });
  });
});
