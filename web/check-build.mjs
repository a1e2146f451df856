// Looks at the built app: what a first visit loads stays small, everything comes from the node, and nothing stands inline that the
// policy of the node would refuse. Ends with "N passed, N failed".   node check-build.mjs DIRECTORY
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

const FIRST_LOAD_MAX = 200_000; // bytes, as they go over the wire with brotli, heads of answers not counted
const HEAD = 1_000; // an answer's head with the policy in it
// Texts in which an address is a name or a hint to a developer: nothing is loaded from them. A browser proves it (web/e2e).
const NAMES = [/^https?:\/\/www\.w3\.org\//, /^https:\/\/vuejs\.org\/error-reference\//];

const root = process.argv[2] ?? 'app/dist';
let passed = 0;
let failed = 0;

function check(promise, problems) {
  if (problems.length === 0) {
    passed += 1;
    console.log(`ok      ${promise}`);
    return;
  }
  failed += 1;
  console.log(`FAILED  ${promise}`);
  for (const problem of problems) console.log(`        ${problem}`);
}

function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

const page = readFileSync(join(root, 'index.html'), 'utf8');
const texts = filesBelow(root).filter((path) => /\.(html|js|css|svg|json|webmanifest)$/.test(path));

/** What the page itself names: scripts, what they import at once, styles, icons. */
function firstLoad() {
  const named = [...page.matchAll(/<(?:script|link)\b[^>]*?\b(?:src|href)="([^"]+)"/g)].map(
    (match) => match[1],
  );
  const seen = new Set(['/index.html']);
  const open = named.filter((name) => name.startsWith('/'));
  while (open.length > 0) {
    const name = open.pop();
    if (seen.has(name)) continue;
    seen.add(name);
    if (!name.endsWith('.js')) continue;
    const text = readFileSync(join(root, name), 'utf8');
    for (const match of text.matchAll(/(?:\bfrom\s*|\bimport\s*)["'](\.[^"']+)["']/g)) {
      open.push(new URL(match[1], `http://node${name}`).pathname);
    }
  }
  return [...seen];
}

function wireBytes(name) {
  const path = join(root, name);
  return statSync(existsSync(`${path}.br`) ? `${path}.br` : path).size + HEAD;
}

function foreignAddresses(path) {
  return [...readFileSync(path, 'utf8').matchAll(/\b(?:https?|wss?):\/\/[a-z0-9][^\s"'`<>\\)]*/gi)]
    .map((match) => match[0])
    .filter((address) => !NAMES.some((name) => name.test(address)))
    .map((address) => `${relative(root, path)}: ${address}`);
}

const first = firstLoad();
const bytes = first.reduce((sum, name) => sum + wireBytes(name), 0);
const list = first.map((name) => `${wireBytes(name)} ${name}`);
check(
  `a first visit loads ${(bytes / 1000).toFixed(1)} KB in ${first.length} files, at most ${FIRST_LOAD_MAX / 1000} KB`,
  bytes <= FIRST_LOAD_MAX ? [] : list,
);
check('nothing built names another host', texts.flatMap(foreignAddresses));
check(
  'the page has no inline script, style or handler',
  [...page.matchAll(/<script(?![^>]*\bsrc=)[^>]*>|<style\b[^>]*>|\sstyle="[^"]*"|\son[a-z]+="[^"]*"/g)].map(
    (match) => match[0],
  ),
);
check(
  'scripts and styles have a hash in their name',
  first.filter((name) => /\.(js|css)$/.test(name) && !/^\/assets\/[^/]+-[\w-]{8,}\.(js|css)$/.test(name)),
);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
