// The package as others install it.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode } from './node.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

describe('the package', () => {
  const dir = mkdtempSync(join(tmpdir(), 'parley-pack-'));
  let files: string[];

  beforeAll(async () => {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', dir], { cwd: root });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as {
      filename: string;
      files: { path: string }[];
    }[];
    files = packed!.files.map((file) => file.path);
    await run('tar', ['xzf', join(dir, packed!.filename), '-C', dir]);
    mkdirSync(join(dir, 'node_modules/@parley'), { recursive: true });
    symlinkSync(join(dir, 'package'), join(dir, 'node_modules/@parley/sdk'));
    symlinkSync(join(root, '../node_modules/ws'), join(dir, 'node_modules/ws'));
  });

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('holds code, types and the readme, and depends on nothing', () => {
    expect(files).toContain('README.md');
    expect(files).toContain('dist/index.js');
    expect(files).toContain('dist/index.d.ts');
    expect(files.filter((path) => !/^(dist\/.*\.(js|d\.ts)|README\.md|package\.json)$/.test(path))).toEqual(
      [],
    );
    const description = JSON.parse(readFileSync(join(dir, 'package/package.json'), 'utf8')) as {
      dependencies?: object;
    };
    expect(description.dependencies).toBeUndefined();
  });

  it('runs the example of its readme in Node', async () => {
    const node = await TestNode.start();
    const readme = readFileSync(join(dir, 'package/README.md'), 'utf8');
    const example = /```js\n(\/\/ bot\.js[\s\S]*?)```/.exec(readme)![1]!;
    writeFileSync(join(dir, 'bot.mjs'), example);
    const { stdout } = await run(process.execPath, ['bot.mjs', node.url], { cwd: dir, timeout: 60_000 });
    expect(stdout.trim().split('\n')).toEqual(['echo: hello', 'echo: once more']);
    await node.finish();
  });

  it('is below 25 KB compressed, and costs only what is used', async () => {
    const size = async (code: string) => {
      const entry = join(dir, 'entry.js');
      writeFileSync(entry, code);
      const result = await build({
        root: dir,
        configFile: false,
        logLevel: 'silent',
        build: {
          write: false,
          target: 'es2022',
          minify: 'esbuild',
          modulePreload: false,
          rollupOptions: { input: entry, preserveEntrySignatures: 'strict' },
        },
      });
      const output = (Array.isArray(result) ? result[0]! : result) as { output: { code: string }[] };
      return gzipSync(output.output[0]!.code).length;
    };
    expect(await size(`export * from '@parley/sdk'`)).toBeLessThan(25_000);
    expect(await size(`export { ApiError } from '@parley/sdk'`)).toBeLessThan(500);
  });
});
