import { describe, expect, it } from 'vitest';
import { onlyEmoji, pieces } from '../src/lib/links';

const hrefs = (text: string) => pieces(text).flatMap((it) => it.href ?? []);

describe('links in a text', () => {
  it('leave the text as it was written', () => {
    for (const text of [
      '',
      'hi',
      'a https://x.org b',
      'https://x.org',
      '(https://x.org/a_(b)).',
      'www.x.org, ok',
    ])
      expect(
        pieces(text)
          .map((it) => it.text)
          .join(''),
      ).toBe(text);
  });

  it('end where the sentence goes on', () => {
    expect(hrefs('see https://x.org/a, or (http://y.org/b_(c)).')).toEqual([
      'https://x.org/a',
      'http://y.org/b_(c)',
    ]);
    expect(hrefs('请看https://x.org/路径，谢谢')).toEqual(['https://x.org/%E8%B7%AF%E5%BE%84']);
    expect(hrefs('WWW.X.ORG!')).toEqual(['https://www.x.org/']);
  });

  it.each([
    'javascript:alert(1)',
    'data:text/html,<b>',
    'file:///etc/passwd',
    'vbscript:x',
    'ftp://x.org',
    'https://bank.example@evil.example/',
    'http://',
    'https://word',
    '<img src=x onerror=alert(1)>',
  ])('are not made of %j', (text) => expect(hrefs(text)).toEqual([]));

  it('carry nothing out of their attribute', () => {
    expect(hrefs('https://x.org/"onmouseover="alert(1)')).toEqual(['https://x.org/']);
  });

  it('take a long text without taking long', () => {
    const text = 'https://x.org/'.repeat(1200) + '))))]]]'.repeat(200);
    const before = process.cpuUsage(); // a busy machine makes it wait, not work
    pieces(text);
    pieces('https://x.org/' + ')'.repeat(16_000));
    pieces('www.'.repeat(4000));
    pieces('https://x.org '.repeat(1100));
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000);
  });
});

describe('a text of emoji only', () => {
  it.each([
    ['👍', 1],
    ['👩‍👩‍👧 ❤️', 2],
    ['🇨🇳🎉🎉', 3],
    ['🎉🎉🎉🎉', 0],
    ['ok 👍', 0],
    ['3', 0],
    ['', 0],
  ])('%j counts %i', (text, n) => expect(onlyEmoji(text)).toBe(n));
});
