// The types of the library beside what the server says of itself in /openapi.json.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode } from './node.js';

interface Schema {
  type?: string;
  enum?: (string | number)[];
  $ref?: string;
  allOf?: Schema[];
  nullable?: boolean;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
}

/** Where the two have different names. */
const names: Record<string, string> = { BlockedUser: 'Block', AddedMembers: 'Added' };
/** Only in frames, or made of several: /openapi.json does not know them. */
const framesOnly = [
  'PushMessage',
  'Page',
  'ContactUpdate',
  'MemberUpdate',
  'MessageRead',
  'MessageRevoked',
  'TurnServer',
  'CallServers',
  'CallState',
];

const source = fileURLToPath(new URL('../src/', import.meta.url));

describe('the contract', () => {
  let node: TestNode;
  let api: {
    paths: Record<string, Record<string, unknown>>;
    components: { schemas: Record<string, Schema> };
  };

  beforeAll(async () => {
    node = await TestNode.start();
    api = (await (await fetch(`${node.url}/openapi.json`)).json()) as typeof api;
  });

  afterAll(() => node.finish());

  it('has the objects of the library, key by key and type by type', () => {
    const program = ts.createProgram([`${source}wire.ts`], { strict: true });
    const checker = program.getTypeChecker();
    const file = program.getSourceFile(`${source}wire.ts`)!;
    const interfaces = file.statements.filter(ts.isInterfaceDeclaration);
    expect(interfaces.length).toBeGreaterThan(20);
    for (const one of interfaces) {
      const name = one.name.text;
      if (framesOnly.includes(name)) continue;
      const schema = api.components.schemas[names[name] ?? name];
      expect(schema, `${name} is in /openapi.json`).toBeDefined();
      expect(keysOf(checker, checker.getTypeAtLocation(one)), name).toEqual(keysOfSchema(schema!));
    }
  });

  it('has every path that the library calls', () => {
    const known = new Set(Object.keys(api.paths).map((path) => path.replace(/\{\w+\}/g, '*')));
    const called = new Set<string>();
    for (const name of readdirSync(source)) {
      const text = readFileSync(source + name, 'utf8');
      for (const [, path] of text.matchAll(/['`](\/api\/[^'`\s]*)['`]/g))
        called.add(path!.replace(/\$\{[^}]*\}/g, '*'));
    }
    // register, login and sms/login
    called.delete('/api/auth/*');
    expect(called.size).toBeGreaterThan(30);
    for (const path of called) expect(known, path).toContain(path);
  });
});

/** Each key with '?' if it may be absent, and the rough type behind it. */
function keysOf(checker: ts.TypeChecker, type: ts.Type): string[] {
  return checker
    .getPropertiesOfType(type)
    .map(
      (p) =>
        `${p.name}${p.flags & ts.SymbolFlags.Optional ? '?' : ''}: ${roughly(checker, checker.getTypeOfSymbol(p))}`,
    )
    .sort();
}

function roughly(checker: ts.TypeChecker, whole: ts.Type): string {
  const parts = whole.isUnion() ? whole.types : [whole];
  const kinds = parts
    .filter((t) => !(t.flags & ts.TypeFlags.Undefined))
    .map((t) => {
      if (t.flags & ts.TypeFlags.StringLike) return 'string';
      if (t.flags & ts.TypeFlags.NumberLike) return 'number';
      if (t.flags & ts.TypeFlags.BooleanLike) return 'boolean';
      if (t.flags & ts.TypeFlags.Null) return 'null';
      return checker.isArrayType(t) ? 'array' : 'object';
    });
  return [...new Set(kinds)].sort().join('|');
}

function keysOfSchema(schema: Schema): string[] {
  return Object.entries(schema.properties ?? {})
    .map(([key, value]) => `${key}${schema.required?.includes(key) ? '' : '?'}: ${roughlyOf(value)}`)
    .sort();
}

function roughlyOf(schema: Schema): string {
  const plain =
    { integer: 'number', string: 'string', boolean: 'boolean', array: 'array' }[schema.type ?? ''] ??
    'object';
  return schema.nullable ? ['null', plain].sort().join('|') : plain;
}
