// One definition, one verdict: random specs, made from the schema in promise.yaml, of which `goldpath validate` and the real
// API server take and refuse the same.
//   node random.mjs GOLDPATH PROMISE-FOLDER NAMESPACE [SEED [COUNT]]
// A spec begins right, with any of its fields; in most something is then made wrong, or nearly so; the last are at each edge. What the two may differ in
// stands in the Promise's table, <promise>.yaml beside this file, under `differences`; what of a spec only a step can know, under `beyond`. The CRD is on the server.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isMap, kubectl, readYaml, specOf } from './lib.mjs';
import { sample } from './sample.mjs';

const [goldpath, folder, namespace, seed = '14', count = '1000'] = process.argv.slice(2);
const [{ base, differences = [], beyond = [] }] = readYaml(join(import.meta.dirname, `${basename(folder)}.yaml`));
const root = specOf(folder);

// Mulberry32: the same specs for the same seed, anywhere.
let state = Number(seed) >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const below = n => Math.floor(random() * n);
const one = list => list[below(list.length)];
const chance = part => random() < part;

/** The texts and numbers that the rules of a schema name: reserved names, endings, bounds. */
function named(schema) {
  const rules = (schema['x-kubernetes-validations'] ?? []).map(({ rule }) => rule).join(' ');
  return [...rules.matchAll(/'([^']*)'/g)].map(([, text]) => text);
}

/** How many fields, lists and mappings a schema has. */
const size = schema => 1 + [...Object.values(schema.properties ?? {}), ...[schema.items ?? []].flat()].reduce((sum, below) => sum + size(below), 0);
/** The characters that bound what its pattern and rules take or refuse. */
function bounds(schema) {
  const text = [schema.pattern, ...(schema['x-kubernetes-validations'] ?? []).map(({ rule }) => rule)].join(' ');
  return [...text.matchAll(/\\x\{?([0-9a-f]{1,6})/g)].map(([, code]) => parseInt(code, 16));
}

const isAmount = schema => schema['x-kubernetes-int-or-string'];
const characters = text => [...text];

function right(schema) {
  if (schema.enum) return one(schema.enum);
  if (schema.type === 'boolean') return chance(0.5);
  if (isMap(schema)) return one([{}, { a: 'b' }, { a: '1', 'b.c/d-e': '' }]);
  if (schema.type === 'object') {
    const fields = Object.entries(schema.properties).filter(([name]) => schema.required?.includes(name) || chance(0.4));
    return Object.fromEntries(fields.map(([name, field]) => [name, right(field)]));
  }
  if (schema.type === 'array') return Array.from({ length: below(4) }, () => right(schema.items));
  if (schema.type === 'integer') return one([schema.minimum, schema.maximum, below(100)]);
  if (isAmount(schema) && chance(0.5)) return one(['1', '1.5', '100', '4', '0.25', '8']) + one(['', 'm', 'k', 'M', 'Gi', 'Mi', 'e3', 'Ti', 'G']);
  if (isAmount(schema) && chance(0.3)) return one([0, 1, 7, 1048576]);
  const text = schema.pattern ? sample(schema.pattern, random) : one(['', 'any text']);
  return characters(text).slice(0, schema.maxLength).join('');
}

const ODD = ['-', '--', '.', '..', '_', ' ', '\n', '\r', '\t', '\0', '@', '/', '"', '\\', '$', 'Z', '0', 'é', '\u00a0', '\u00ad', '\u200b', '\u2028', '\u202e', '\u2066', '\u3000', '\ufeff', '🦀', '+', 'e', 'm', 'i', ','];
const swapped = text => characters(text).map(c => (chance(0.5) ? c.toUpperCase() : c.toLowerCase())).join('');

/** A text that is nearly as `text`, or at a limit of its schema. */
function near(text, schema) {
  const all = characters(text);
  const at = below(all.length + 1);
  const sized = length => one([all.slice(0, length).join('').padEnd(length, one(['a', 'x1'])), one(['a', 'é', '\u3000', '7', 'A']).repeat(length)]);
  const limits = [schema.minLength, schema.maxLength].filter(limit => limit !== undefined);
  if (limits.length > 0 && chance(0.25)) return sized(Math.max(0, one(limits) + one([-1, 0, 0, 1, 1])));
  const codes = bounds(schema);
  if (codes.length > 0 && chance(0.3)) {
    const c = String.fromCodePoint(Math.max(0, one(codes) + one([-1, 0, 0, 1])));
    return one([c, all.toSpliced(at, 0, c).join('')]);
  }
  const names = named(schema);
  if (names.length > 0 && chance(0.4)) return one([one(names), swapped(one(names)), text + swapped(one(names))]);
  return one([
    () => all.toSpliced(at, 0, one(ODD)).join(''),
    () => all.toSpliced(at, 1).join(''),
    () => text.replace(/[^a-z0-9]/gi, '$&$&'),
    () => all.toSpliced(at, 1, one(ODD)).join(''),
    () => one(ODD) + text,
    () => text + one(ODD),
    () => swapped(text),
    () => one(['', ' ', '\n', '\u3164', '\u200b\u00ad', one(ODD)]),
    () => (isAmount(schema) ? `${one(['0', '1', '-1', '1.5', '0.1', '1048575', '1048576', '1000000', '1000001', '999999999999999', '1'.repeat(15), '1'.repeat(16)])}${one(['', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'E', 'Ki', 'Ei', 'Pi', 'e3', 'E3', 'e+3', 'e-3', 'e19', 'e99'])}` : swapped(text)),
  ])();
}

/**
 * Texts at each edge of a schema's leaves, by their paths: as long as can be, with each character at a bound, with signs at
 * the ends and twice, and what the request says elsewhere.
 */
function edgesOf(schema, path = [], seen = new Set()) {
  // What has the same schema has the same edges.
  const { description, ...rules } = schema;
  if (schema.type === 'object' && seen.size === seen.add(JSON.stringify(rules)).size) return [];
  if (schema.type === 'boolean' || isMap(schema)) return [{ path, value: 1 }, { path, value: null }];
  if (schema.type === 'object') return Object.entries(schema.properties).flatMap(([name, field]) => edgesOf(field, [...path, name], seen));
  if (schema.type === 'array') return edgesOf(schema.items, [...path, 0], seen);
  const around = number => [number - 1, number, number + 1];
  if (schema.type === 'integer') return [schema.minimum, schema.maximum].flatMap(around).map(value => ({ path, value }));
  const lengths = [schema.minLength, schema.maxLength].filter(limit => limit !== undefined).flatMap(around).filter(length => length >= 0);
  const characters = bounds(schema).flatMap(around).filter(code => code >= 0).map(code => String.fromCodePoint(code));
  const signs = [...'-_.@ '].flatMap(c => [`${c}a`, `a${c}`, `a${c}b`, `a${c}${c}b`]);
  return [...lengths.map(length => 'a'.repeat(length)), ...characters.flatMap(c => [c, `a${c}b`]), ...signs, ...Object.values(base.spec)].map(value => ({ path, value }));
}

/** Sets what is at `path`, with nothing more beside it than has to be there. */
function put(spec, path, value) {
  let [holder, schema] = [spec, root];
  for (const key of path.slice(0, -1)) {
    schema = typeof key === 'number' ? schema.items : schema.properties[key];
    holder[key] ??= schema.type === 'array' ? [] : Object.fromEntries((schema.required ?? []).map(name => [name, right(schema.properties[name])]));
    holder = holder[key];
  }
  holder[path.at(-1)] = value;
}

/** Makes something wrong, or nearly so, in `holder[key]`, which `schema` is for; says what. */
function spoil(holder, key, schema, spec) {
  const value = holder[key];
  const set = (what, wrong) => {
    holder[key] = wrong;
    return what;
  };
  if (chance(0.08)) return set('another type', one([true, 7, 1.5, -1, 'text', '', [], {}, ['text'], { a: 'b' }, [null]]));
  if (chance(0.05)) return set('null', null);
  if (schema.type === 'boolean') return set('boolean', one([true, false, 'true', 1]));
  if (isMap(schema)) return set('mapping', one([{ a: 'b c' }, { a: 1 }, { a: null }, { a: 'x'.repeat(64) }, {}]));
  const isObject = value?.constructor === Object;
  if ((schema.type === 'object' && !isObject) || (schema.type === 'array' && !Array.isArray(value))) return set('right again', right(schema));
  if (schema.type === 'object') {
    // As often as there is something below it.
    const name = one(Object.entries(schema.properties).flatMap(([name, field]) => Array(size(field)).fill(name)));
    if (chance(0.1)) {
      const unknown = one([swapped(name), `${name}s`, name.slice(1), 'status', '', 'x y']);
      value[unknown] = one([null, 'text', 1, value[name] ?? {}]);
      return `field ${unknown}`;
    }
    if (chance(0.1)) {
      delete value[name];
      return `without ${name}`;
    }
    if (!(name in value)) value[name] = right(schema.properties[name]);
    return `${name}: ${spoil(value, name, schema.properties[name], spec)}`;
  }
  if (schema.type === 'array') {
    if (chance(0.06) && schema.maxItems) {
      const length = schema.maxItems + one([0, 1]);
      const item = number => (schema.items.type === 'object' ? { [Object.keys(schema.items.properties).find(name => schema.items.required?.includes(name))]: `u${number}` } : `u${number}`);
      return set(`${length} items`, Array.from({ length }, (_, number) => item(number)));
    }
    if (value.length === 0) value.push(right(schema.items));
    const at = below(value.length);
    if (chance(0.4)) {
      const copy = JSON.parse(JSON.stringify(value[at]), (_, inner) => (typeof inner === 'string' && chance(0.4) ? swapped(inner) : inner));
      value.push(copy);
      return `[${at}] twice`;
    }
    return `[${at}]: ${spoil(value, at, schema.items, spec)}`;
  }
  if (schema.enum) return set('choice', one([swapped(`${value}`), 'other', '', `${value} `]));
  if (schema.type === 'integer') return set('number', one([schema.minimum - 1, schema.minimum, schema.maximum, schema.maximum + 1, 1.5, -1, 2 ** 31, 2 ** 32, 2 ** 53, `${value}`]));
  if (chance(0.1)) return set("another field's", one(Object.values(spec).filter(other => typeof other === 'string')) ?? '');
  if (isAmount(schema) && chance(0.3)) return set('number', one([-1, 0, 1, 1048575, 1048576, 1000000, 1000001, 2 ** 53 - 1, 0.5]));
  return set('text', near(typeof value === 'string' ? value : `${value}`, schema));
}

/** A YAML reader may refuse what JSON has as it is. */
const written = object => JSON.stringify(object).replace(/[\u007f-\u00a0\u00ad\u2028-\u202f\ud7ff\ufe00-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

const isBeyond = fault => beyond.some(({ rule, path = '', message = '' }) => fault.rule === rule && new RegExp(path).test(fault.path) && new RegExp(message).test(fault.message));

const work = mkdtempSync(join(tmpdir(), 'random-'));
// kubectl asks 50 times a second: several ask at once.
const folders = Array.from({ length: 4 }, (_, number) => join(work, String(number)));
folders.forEach(folder => mkdirSync(folder));
let faults = 0;
const told = { taken: 0, refused: 0, listed: 0 };
try {
  const specs = new Map();
  const edges = edgesOf(root);
  for (let number = 0; number < Number(count) + edges.length; number += 1) {
    const name = `r${number}`;
    const edge = edges[number - Number(count)];
    // Nothing else may be wrong beside an edge.
    const holder = { spec: edge ? structuredClone(base.spec) : right(root) };
    if (edge) put(holder.spec, edge.path, edge.value);
    const spoils = edge ? 0 : one([0, 1, 1, 1, 1, 2]);
    const what = edge ? [`${edge.path.join('.')} at an edge`] : Array.from({ length: spoils }, () => spoil(holder, 'spec', root, holder.spec ?? {}));
    specs.set(name, { spec: holder.spec, what });
    writeFileSync(join(folders[number % folders.length], `${name}.json`), written({ ...base, metadata: { name, namespace }, ...holder }));
  }
  const run = spawnSync(goldpath, ['validate', '-o', 'json', ...folders], { encoding: 'utf8', maxBuffer: 1 << 28 });
  // What is between requests is not about one: these are not meant to stand together.
  const all = JSON.parse(run.stdout);
  // Of so many faults that not all are told, nothing is known of the others.
  const untold = new Set(all.filter(({ rule }) => rule === 'more').map(({ file }) => basename(file, '.json')));
  const own = all.filter(fault => !fault.warning && !['taken', 'circle'].includes(fault.rule) && !isBeyond(fault));
  const ours = new Map();
  for (const fault of own) ours.set(basename(fault.file, '.json'), [...(ours.get(basename(fault.file, '.json')) ?? []), fault]);
  const ask = folder => kubectl(['create', '--dry-run=server', '--validate=strict', '-o', 'json', '-f', folder]);
  const answers = await Promise.all(folders.map(ask));
  const [stdout, stderr] = ['stdout', 'stderr'].map(stream => answers.map(answer => answer[stream]).join('\n'));
  const theirs = new Set(stdout.split(/^(?=\{)/m).filter(Boolean).map(text => JSON.parse(text).metadata.name));
  const heard = name => stderr.split('\n').find(line => line.includes(`/${name}.json"`)) ?? stderr.split('\n').find(line => line.includes(`"${name}" is invalid`)) ?? '';

  for (const [name, { spec, what }] of specs) {
    const found = ours.get(name) ?? [];
    const taken = theirs.has(name);
    told[taken ? 'taken' : 'refused'] += 1;
    if (untold.has(name) || taken === (found.length === 0)) continue;
    const isListed = ({ refused_by: who, rule, path }) =>
      (who === 'goldpath' ? taken && found.every(fault => fault.rule === rule && new RegExp(path).test(fault.path)) : !taken && new RegExp(rule).test(heard(name)));
    if (differences.some(isListed)) {
      told.listed += 1;
      continue;
    }
    faults += 1;
    const why = taken ? found.map(({ path, rule, message }) => `${path} ${rule} ${message}`).join('; ') : heard(name);
    console.error(`${basename(folder)}: ${name} (${what.join('; ') || 'right'}): ${taken ? 'refused here' : 'taken here'}, ${taken ? 'taken' : 'refused'} by the API server: ${why}\n  ${JSON.stringify(spec).slice(0, 600)}`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${base.kind}: ${count} random specs by seed ${seed} and ${told.taken + told.refused - count} at edges, ${told.refused} refused, ${told.listed} of a difference that is listed, ${faults} faults`);
process.exit(told.taken > Number(count) / 10 && told.refused > Number(count) / 10 && faults === 0 ? 0 : 1);
