// Asks the real API server what it takes: the CRD of a Promise, then every request of that Promise's table.
//   node requests.mjs PROMISE-FOLDER NAMESPACE
// The table is <promise>.yaml beside this file, with the rows of the schema before it; its head says how it reads. The caller removes what carries LABEL.
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { LABEL, kubectl, must, mappingsOf, objectOf, readYaml, specOf, spelledOut, tableOf, until } from './lib.mjs';

const AT_ONCE = 4;
const [folder, namespace] = process.argv.slice(2);
const [promise] = readYaml(join(folder, 'promise.yaml'));
const table = tableOf(folder);
const crd = promise.spec.api;
const { group, names: { plural, kind } } = crd.spec;
const resource = `${plural}.${group}`;

let faults = 0;
const fault = (what, message) => {
  faults += 1;
  console.error(`${basename(folder)}: ${what}: ${message}`);
};

function holds(have, want) {
  if (want === null || typeof want !== 'object' || Array.isArray(want)) return isDeepStrictEqual(have, want);
  return Object.entries(want).every(([key, value]) => holds(have?.[key], value));
}

async function ask(row) {
  const verb = row.update ? 'replace' : 'create';
  const args = [verb, '--dry-run=server', '--validate=strict', '-o', 'json', '-f', '-'];
  const object = objectOf(table, row, namespace);
  if (!row.update) object.metadata.name = 'another';
  const { code, stdout, stderr } = await kubectl(args, JSON.stringify(object));
  if (row.refused) {
    if (code === 0) fault(row.that, 'was accepted');
    else if (!stderr.includes(row.refused)) fault(row.that, `expected \`${row.refused}\`, heard: ${stderr.trim()}`);
  } else if (code !== 0) {
    fault(row.that, `was refused: ${stderr.trim()}`);
  } else if (!holds(JSON.parse(stdout).spec, spelledOut(row.accepted))) {
    fault(row.that, `became ${JSON.stringify(JSON.parse(stdout).spec)}`);
  }
}

// Without our label where it was there before: then it is not ours to remove.
const existed = (await kubectl(['get', 'crd', resource])).code === 0;
if (!existed) crd.metadata.labels = { ...crd.metadata.labels, [LABEL]: 'true' };
await must(['apply', '--server-side', '--force-conflicts', '--validate=strict', '-f', '-'], JSON.stringify(crd));
await must(['wait', '--for=condition=Established', '--timeout=30s', `crd/${resource}`]);
// `api-resources` asks anew; the other commands trust what they have heard of the server's resources.
await until(30, `the API server to serve ${resource}`, async () =>
  (await must(['api-resources', `--api-group=${group}`, '-o', 'name'])).split('\n').includes(resource));
const explain = path => ['explain', [plural, ...path].join('.'), `--api-version=${group}/${crd.spec.versions[0].name}`];
await until(30, `the API server to explain ${resource}`, async () => (await kubectl(explain([]))).code === 0);
// Nothing tells when a changed schema serves.
if (existed) await new Promise(resolve => setTimeout(resolve, 3000));

for (const [path, fields] of mappingsOf(specOf(folder))) {
  const explained = await must(explain([path]));
  for (const field of fields.filter(field => !new RegExp(`^  ${field}\\s`, 'm').test(explained))) {
    fault('explain', `${path} lacks ${field}`);
  }
}

const example = readFileSync(join(folder, 'resource-request.yaml'), 'utf8').replace(/^  namespace: .*$/m, `  namespace: ${namespace}`);
const asItIs = await kubectl(['create', '--dry-run=server', '--validate=strict', '-n', namespace, '-f', '-'], example);
if (asItIs.code !== 0) fault('resource-request.yaml', asItIs.stderr.trim());

await must(['create', '--validate=strict', '-f', '-'], JSON.stringify(objectOf(table, {}, namespace)));
const [head] = (await must(['get', resource, '-n', namespace])).split('\n');
const columns = head.split(/\s{2,}/).filter(Boolean);
const wanted = ['Name', ...crd.spec.versions[0].additionalPrinterColumns.map(({ name }) => name)].map(name => name.toUpperCase());
if (!isDeepStrictEqual(columns, wanted)) fault('printer columns', `are ${columns.join(', ')}`);

const rows = [...table.requests];
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let row = rows.shift(); row; row = rows.shift()) await ask(row);
}));
await must(['delete', resource, 'contract', '-n', namespace]);

const refused = table.requests.filter(row => row.refused).length;
console.log(`${kind}: ${refused} requests to be refused, ${table.requests.length - refused} to be accepted, ${faults} faults`);
process.exit(refused > 0 && faults === 0 ? 0 : 1);
