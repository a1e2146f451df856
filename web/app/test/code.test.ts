import { describe, expect, it } from 'vitest';
import { codeOf, idOfCode } from '../src/lib/code';

describe("a person's code", () => {
  it('is the one that the other clients of this server write', () => {
    expect(codeOf(28)).toBe('IM-00000S');
    expect(codeOf(36 ** 6)).toBe('IM-1000000');
  });
  it('leads back to the id, in any case and with blanks around it', () => {
    for (const id of [1, 28, 46_655, 36 ** 6 + 5, Number.MAX_SAFE_INTEGER])
      expect(idOfCode(` ${codeOf(id).toLowerCase()} `)).toBe(id);
  });
  it.each(['', '28', 'lena', 'IM-', 'IM-!', 'IM-000000', 'IM-ZZZZZZZZZZZ', 'XIM-00000S'])(
    '%j is none',
    (text) => expect(idOfCode(text)).toBe(0),
  );
});
