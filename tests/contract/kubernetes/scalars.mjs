// One document, one meaning: what a plain or quoted scalar is for `goldpath validate` and for the real API server, which
// kubectl hands it to as its YAML 1.1 reads it. The same verdict and the same value, in each kind of field; what kubectl
// reads as another value than YAML 1.2 has it, goldpath refuses.
//   node scalars.mjs GOLDPATH PROMISE-FOLDER NAMESPACE
// The fields are those of the Promise's schema; <promise>.yaml beside this file has a request. The CRD is on the server.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { kubectl, leavesOf, readYaml, specOf } from './lib.mjs';

const [goldpath, folder, namespace] = process.argv.slice(2);
const [{ base }] = readYaml(join(import.meta.dirname, `${basename(folder)}.yaml`));
const metadata = ['labels.example', 'annotations.example', 'labels.*', 'annotations.*'].map(field => `metadata.${field}`);
const fields = [...leavesOf(specOf(folder)), ...metadata];

const PLAIN = `
  abc x-1 007 7 0 00 -0 +0 1 +1 -1 42 010 017 019 08 09 0o17 0o8 0O17 -017 +017 0x1F 0X1F 0xg 0x -0x1F 0b11 0B11 0b2 -0b1
  1_000 1__0 _1 1_ 0_8 0x_1F 0b_1 0o_7 1_0.5 1.5 1. .5 . -.5 +.5 1.50 0.10 1e3 1E3 1e+3 1e-3 1.5e3 e3 1e 12e03 129e6
  1e308 1e309 1e999 -1e999 9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616
  -9223372036854775808 -9223372036854775809 123456789012345678901234567890 1000000 1000001
  true True TRUE tRUE false False FALSE yes Yes YES yES no No NO nO on On ON off Off OFF y Y n N
  null Null NULL ~ nil none None .inf .Inf .INF -.inf +.inf .nan .NaN .NAN inf nan Infinity NaN
  2001-01-01 2001-01-01T00:00:00Z 12:30 1:30:00 190:20:30 1:2 = << 1.2.3 1,000 500m 0.5 4 8Gi 1.5Gi 512m 1k 1K 1Mi 100Mi
  1234567.5 123456.5 1.23456789 16777217.5 3.14159265358979 0.30000001 0.3 0.00001 999999.5 -2.5
  2Ei 1E3 1Ki 3.14 0.0001 1u 1n a:b http://x public private limited admin ''`.split(/\s+/).filter(Boolean);
const QUOTED = ['no', 'true', '1', '010', '1e3', '~', '.inf', '', ' ', '0x1F', '8Gi', '1_000'].map(text => `"${text}"`);
const scalars = [...new Set([...PLAIN, ...QUOTED])].filter(text => text !== '<<');

/**
 * The request with `scalar` as it stands in a field such as `spec.quota.cpu` or `metadata.labels.x`, or as the only key of
 * `metadata.labels.*`.
 */
function documentOf(name, field, scalar) {
  const [root, ...path] = field.split('.');
  const spec = { ...base.spec, id: name };
  if (root === 'spec') delete spec[path[0]];
  const rest = Object.entries(spec).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`).join('');
  const line = (key, depth) => `${'  '.repeat(depth + 1)}${key === '*' ? scalar : key}:`;
  const own = `${path.map(line).join('\n')} ${path.at(-1) === '*' ? 'x' : scalar}\n`;
  const part = name => (name === root ? own : '');
  return `apiVersion: ${base.apiVersion}\nkind: ${base.kind}\nmetadata:\n  name: ${name}\n  namespace: ${namespace}\n${part('metadata')}spec:\n${rest}${part('spec')}`;
}

const work = mkdtempSync(join(tmpdir(), 'scalars-'));
let faults = 0;
const fault = (field, scalar, message) => {
  faults += 1;
  console.error(`${basename(folder)}: ${field}: ${scalar}: ${message}`);
};
// What is in a field; of keys the one that is there.
const at = (object, field) => field.split('.').reduce((value, key) => (key === '*' ? Object.keys(value ?? {})[0] : value?.[key]), object);
let refused = 0;
let ambiguous = 0;
try {
  for (const [number, field] of fields.entries()) {
    const requests = join(work, String(number));
    mkdirSync(requests);
    const nameOf = index => `s${number}-${index}`;
    scalars.forEach((scalar, index) => writeFileSync(join(requests, `${nameOf(index)}.yaml`), documentOf(nameOf(index), field, scalar)));

    const workspace = join(work, `workspace-${number}`);
    const run = spawnSync(goldpath, ['run', '-f', requests, '--workspace', workspace, '--output', 'json'], { encoding: 'utf8', maxBuffer: 1 << 28 });
    const ours = new Map(JSON.parse(run.stdout).map(({ request, faults: found }) => {
      if (found) return [basename(found[0].file, '.yaml'), { rules: found.map(fault => fault.rule), object: null }];
      const input = join(workspace, 'requests', base.kind.toLowerCase(), namespace, request.name, 'input', 'object.yaml');
      return [request.name, { rules: [], object: JSON.parse(readFileSync(input, 'utf8')) }];
    }));
    const { stdout } = await kubectl(['create', '--dry-run=server', '--validate=strict', '-o', 'json', '-f', requests]);
    const objects = stdout.split(/^(?=\{)/m).filter(Boolean).map(text => JSON.parse(text));
    const theirs = new Map(objects.map(object => [object.metadata.name, object]));

    for (const [index, scalar] of scalars.entries()) {
      const [{ rules, object }, their] = [ours.get(nameOf(index)), theirs.get(nameOf(index))];
      if (rules.includes('ambiguous')) {
        ambiguous += 1;
        // Where both readings are refused, the better advice is no harm; a reading that is the same is no reason.
        if (their && isDeepStrictEqual(at(their, field), scalar)) fault(field, scalar, 'is refused as ambiguous, and kubectl reads it as it is');
      } else if (!object !== !their) {
        fault(field, scalar, `${object ? 'taken' : `refused (${rules.join(', ')})`} here, ${their ? 'taken' : 'refused'} by the API server`);
      } else if (object && (at(object, field) ?? null) !== null && !isDeepStrictEqual(at(object, field), at(their, field))) {
        fault(field, scalar, `is ${JSON.stringify(at(object, field))} here, ${JSON.stringify(at(their, field))} for the API server`);
      }
      refused += object ? 0 : 1;
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const asked = scalars.length * fields.length;
console.log(`${base.kind}: ${scalars.length} scalars in ${fields.length} fields, ${refused} refused (${ambiguous} because kubectl reads them otherwise), ${faults} faults`);
process.exit(asked > 120 && refused > 0 && refused < asked && faults === 0 ? 0 : 1);
