// Puts NAME.br and NAME.gz beside each file of the built app whose text they make smaller by a tenth. The node sends them to browsers
// that take them (actors/web_files.c); the file itself stays for those that do not.   node compress.mjs DIRECTORY
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const worth = /\.(html|js|mjs|css|json|svg|webmanifest|txt|wasm)$/;
const best = {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
  },
};

function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function compress(path) {
  const bytes = readFileSync(path);
  const codings = { br: brotliCompressSync(bytes, best), gz: gzipSync(bytes, { level: 9 }) };
  for (const [ending, packed] of Object.entries(codings)) {
    if (packed.length < bytes.length * 0.9) writeFileSync(`${path}.${ending}`, packed);
  }
}

const files = filesBelow(process.argv[2] ?? 'app/dist');
for (const path of files.filter((name) => /\.(br|gz)$/.test(name))) rmSync(path);
files.filter((name) => worth.test(name)).forEach(compress);
