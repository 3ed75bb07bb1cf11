// kubectl, and the YAML that it is given. Whatever the tests leave on the server carries LABEL.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseAllDocuments } from 'yaml';

export const LABEL = 'goldpath.dev/contract-test';

export async function kubectl(args, input = '') {
  const child = spawn('kubectl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(input);
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

export async function must(args, input) {
  const { code, stdout, stderr } = await kubectl(args, input);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}

export function readYaml(file) {
  return parseAllDocuments(readFileSync(file, 'utf8')).map(document => {
    if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0].message}`);
    return document.toJS({ maxAliasCount: -1 });
  });
}

export async function until(seconds, what, done) {
  const end = Date.now() + seconds * 1000;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 300));
  }
}

/** A value of a table, with its long texts and lists. */
export function spelledOut(value) {
  if (value === null || typeof value !== 'object') return value;
  if (value.$repeat) return value.$repeat[0].repeat(value.$repeat[1]) + (value.$repeat[2] ?? '');
  if (value.$list) {
    const [item, times] = value.$list;
    return Array.from({ length: times }, (_, number) => JSON.parse(JSON.stringify(item).replaceAll('#', number)));
  }
  if (Array.isArray(value)) return value.map(spelledOut);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, spelledOut(inner)]));
}

/** The request of a row of a table. */
export function objectOf(table, row, namespace) {
  const { spec, ...rest } = table.base;
  const merged = { ...spec, ...spelledOut(row.spec ?? {}) };
  for (const name of row.without ?? []) delete merged[name];
  return { ...rest, metadata: { name: 'contract', namespace }, ...(row.root ?? { spec: merged }) };
}

/** Every row of a Promise's table, with its request. */
export function requestsOf(promise) {
  const [table] = readYaml(join(import.meta.dirname, `${promise}.yaml`));
  return table.requests.map(row => ({ row, object: objectOf(table, row, 'default') }));
}
