// kubectl, and the YAML that it is given. Whatever the tests leave on the server carries LABEL.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
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

/** The least that a schema takes, with what `example` has of it. */
function leastOf(schema, example) {
  if (schema.type !== 'object') return example ?? schema.enum?.[0] ?? (schema.type === 'integer' ? schema.minimum : schema.type === 'array' ? [] : 'u1');
  return Object.fromEntries((schema.required ?? []).map(name => [name, leastOf(schema.properties[name], example?.[name])]));
}

/** Whether a mapping has keys of the user's own. */
export const isMap = schema => schema.type === 'object' && Boolean(schema.additionalProperties || schema['x-kubernetes-preserve-unknown-fields']);

/**
 * The rows that every schema has: each limit, and one beyond; another type, another choice; what is missing, null, unknown, twice.
 * What is beside a value comes from `example`, a right spec.
 */
function rowsOf(root, example) {
  const rows = [];
  // What has the same schema is asked once, as a component above and in an instance.
  const seen = new Set();
  function visit(schema, path, beside, put) {
    const { description, ...rules } = schema;
    if (schema.type === 'object' && seen.size === seen.add(JSON.stringify(rules)).size) return;
    const refused = (that, value, message) => rows.push({ that: `${path} ${that}`, spec: put(value), refused: message });
    const accepted = (that, value, accepted = {}) => rows.push({ that: `${path} ${that}`, spec: put(value), accepted });
    const isText = schema.type === 'string' || schema['x-kubernetes-int-or-string'];
    const [wrong, type] = schema['x-kubernetes-int-or-string'] ? [1.5, 'number'] : isMap(schema) ? [['text'], 'array'] : schema.type === 'string' ? [7, 'integer'] : ['text', 'string'];
    refused('of another type', wrong, `${path}: Invalid value: "${type}"`);
    if (schema.enum) refused('of no choice', 'another', `${path}: Unsupported value: "another": supported values: ${schema.enum.map(choice => `"${choice}"`).join(', ')}`);
    if (isText && schema.maxLength) refused('too long', '1'.repeat(schema.maxLength + 1), `${path}: Too long: may not be more than ${schema.maxLength} bytes`);
    if (isText && schema.minLength) refused('empty', '', `${path} in body should be at least ${schema.minLength} chars long`);
    if (isText && schema.pattern) refused('with NUL', 'a\0', `${path} in body should match`);
    if (schema.type === 'integer') {
      accepted('the least', schema.minimum);
      accepted('the most', schema.maximum);
      refused('too little', schema.minimum - 1, `${path} in body should be greater than or equal to ${schema.minimum}`);
      refused('too much', schema.maximum + 1, `${path} in body should be less than or equal to ${schema.maximum}`);
      refused('a fraction', 1.5, `${path}: Invalid value: "number"`);
    }
    if (schema.type === 'array') {
      const [key] = schema['x-kubernetes-list-map-keys'] ?? [];
      const named = key ? schema.items.properties[key] : schema.items;
      const write = [number => `u${number}`, number => `/u${number}`].find(write => !named.pattern || new RegExp(named.pattern).test(write(1)));
      const least = { ...leastOf(schema.items, beside?.[0]) };
      const item = number => (key ? { ...least, [key]: write(number) } : schema.items.type === 'object' ? least : schema.items.type === 'integer' ? number + 1 : write(number));
      const items = length => Array.from({ length }, (_, number) => item(number));
      visit(schema.items, `${path}[0]`, beside?.[0], value => put([value]));
      // Of others is told in the Promise's own rows.
      if (schema.items.type !== 'integer' && !write) return;
      accepted('with as many as can be', items(schema.maxItems));
      refused('with one too many', items(schema.maxItems + 1), `${path}: Too many: ${schema.maxItems + 1}: must have at most ${schema.maxItems} items`);
      if (schema['x-kubernetes-list-type']) refused('with one twice', [item(1), item(1)], `${path}[1]: Duplicate value`);
    }
    if (schema.additionalProperties) refused('with a number', { a: 1 }, `${path}.a: Invalid value: "integer"`);
    if (schema.type === 'object' && !isMap(schema)) {
      const right = leastOf(schema, beside);
      refused('with an unknown field', { ...right, unheardOf: 1 }, `unknown field "${path}.unheardOf"`);
      for (const [name, field] of Object.entries(schema.properties)) {
        const set = value => put({ ...right, [name]: value });
        const isRequired = schema.required?.includes(name);
        const row = { that: `${path}.${name} null`, spec: set(null) };
        rows.push({ ...row, ...(isRequired ? { refused: `${path}.${name}: Required value` } : { accepted: {} }) });
        if (isRequired) refused(`without ${name}`, Object.fromEntries(Object.entries(right).filter(([other]) => other !== name)), `${path}.${name}: Required value`);
        visit(field, `${path}.${name}`, beside?.[name], set);
      }
    }
  }
  visit(root, 'spec', example, value => value);
  return rows;
}

/** The schema of a Promise's spec. */
export function specOf(folder) {
  const [{ spec }] = readYaml(join(folder, 'promise.yaml'));
  return spec.api.spec.versions[0].schema.openAPIV3Schema.properties.spec;
}

/** Each schema that is no list or mapping, nor in a list, by its path: `spec.quota.cpu`. */
export function leavesOf(schema, path = 'spec') {
  if (schema.type === 'array' || isMap(schema)) return [];
  if (schema.type !== 'object') return [path];
  return Object.entries(schema.properties).flatMap(([name, field]) => leavesOf(field, `${path}.${name}`));
}

/** Each mapping, also in lists, by its path, with the names of its fields. */
export function mappingsOf(schema, path = 'spec') {
  if (schema.type === 'array') return mappingsOf(schema.items, path);
  if (schema.type !== 'object' || isMap(schema)) return [];
  const below = Object.entries(schema.properties).flatMap(([name, field]) => mappingsOf(field, `${path}.${name}`));
  return [[path, Object.keys(schema.properties)], ...below];
}

/** A Promise's table, with the rows that come of its schema before its own. */
export function tableOf(folder) {
  const [table] = readYaml(join(import.meta.dirname, `${basename(folder)}.yaml`));
  const { spec: example } = table.requests.find(row => row.that === 'everything');
  const rows = rowsOf(specOf(folder), { ...example, ...table.base.spec }).map(({ spec, ...row }) => ({ ...row, root: { spec } }));
  return { ...table, requests: [...rows, ...table.requests] };
}

/** Every row of a Promise's table, with its request. */
export function requestsOf(folder) {
  const table = tableOf(folder);
  return table.requests.map(row => ({ row, object: objectOf(table, row, 'default') }));
}
