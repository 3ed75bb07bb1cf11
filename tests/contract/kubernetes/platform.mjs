// Proves on the real API server who gets the platform's configuration: the service account of each Promise's Pipeline,
// with src/cluster.rs too, and nobody who has rights on requests only. Each right is asked for twice: whether the API
// server says that it is there, and whether it then does what was asked.
//   node platform.mjs NAMESPACE PROMISE-FOLDER…
// NAMESPACE is of requests; the CRDs of the Promises are there already. The caller removes what carries LABEL.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { stringify } from 'yaml';
import { LABEL, kubectl, must, readYaml, until } from './lib.mjs';

const AT_ONCE = 4;
const SYSTEM = 'goldpath-system';
const READ = { configmaps: 'goldpath', secrets: 'goldpath-gitea' };
const root = join(import.meta.dirname, '../../..');
const platform = join(root, 'manifests/platform');
const [namespace, ...folders] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), 'goldpath-platform-'));
process.on('exit', () => rmSync(work, { recursive: true }));

let faults = 0;
const fault = (what, message) => {
  faults += 1;
  console.error(`platform: ${what}: ${message}`);
};

const create = objects => must(['create', '--validate=strict', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));

// The platform, on a server that has none.
const there = await must(['get', 'namespace', SYSTEM, '--ignore-not-found', '-o', 'json']);
if (there && !JSON.parse(there).metadata.labels[LABEL]) {
  console.error(`platform: the namespace ${SYSTEM} is there, and not from a test: this API server is somebody's platform, which the test would overwrite`);
  process.exit(1);
}
if (there) await must(['delete', 'namespace', SYSTEM, '--wait', '--timeout=60s']);

// What is not in a namespace has to carry LABEL from its first moment. Promises are Kratix's, which is not here.
const base = 'kustomization.yaml';
const [{ resources }] = readYaml(join(platform, base));
const files = readdirSync(platform).filter(name => name.endsWith('.yaml') && name !== base);
const listed = [...files.sort(), ...folders.map(folder => join('../..', folder, '.').replace(/\/$/, ''))];
if (!isDeepStrictEqual([...resources].sort(), listed.sort())) fault(`manifests/platform/${base}`, `lists ${resources.join(', ')}`);
const objects = files.flatMap(name => readYaml(join(platform, name)));
const label = object => (object.metadata.namespace ? object : { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, [LABEL]: 'true' } } });
const list = items => items.map(object => stringify(object)).join('---\n');
const apply = ['apply', '--server-side', '--validate=strict', '-o', 'name', '-f', '-'];
const inOrder = [...objects].sort((a, b) => Number(b.kind === 'Namespace') - Number(a.kind === 'Namespace'));
await must([...apply, '--field-manager=goldpath-contract'], list(inOrder.map(label)));
const applied = (await must(apply, list(inOrder))).split('\n').filter(Boolean).sort();
const roles = ['requester', 'viewer'].map(name => `clusterrole.rbac.authorization.k8s.io/goldpath-${name}`);
if (!isDeepStrictEqual(applied, [...roles, 'configmap/goldpath', `namespace/${SYSTEM}`])) fault('manifests/platform', `is ${applied.join(', ')}`);

const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'root', namespace: SYSTEM }, spec: { containers: [{ name: 'root', image: 'root' }] } };
await until(20, `${SYSTEM} to refuse a Pod of root`, async () =>
  (await kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(pod))).stderr.includes('violates PodSecurity "restricted:latest"'));

// The accounts: of each Pipeline, as Kratix makes it (there the rules are in a ClusterRole, bound in the same namespace,
// which comes to the same), and one of nothing.
const pipelines = folders.flatMap(folder => {
  const [{ metadata, spec }] = readYaml(join(folder, 'promise.yaml'));
  return Object.entries(spec.workflows).flatMap(([type, actions]) => Object.entries(actions).flatMap(([action, list]) =>
    list.map(pipeline => ({
      name: `${metadata.name}-${type}-${action}-${pipeline.metadata.name}`,
      permissions: pipeline.spec.rbac?.permissions ?? [],
    }))));
});
const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
// Where the platform's own requests are.
const own = [...new Set(pipelines.flatMap(({ permissions }) => permissions.map(({ resourceNamespace }) => resourceNamespace)))].filter(name => name && name !== '*' && name !== SYSTEM);
await create(own.map(name => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { [LABEL]: 'true' } } })));
await create([
  { name: 'unbound', permissions: [] }, ...pipelines,
].map(({ name }) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } })));
for (const { name, permissions } of pipelines) {
  const placeOf = ({ resourceNamespace }) => resourceNamespace ?? namespace;
  for (const place of new Set(permissions.map(placeOf))) {
    const [metadata, prefix] = place === '*' ? [{ name, labels: { [LABEL]: 'true' } }, 'Cluster'] : [{ name, namespace: place }, ''];
    const rules = permissions.filter(permission => placeOf(permission) === place);
    await create([
      { ...rbac, kind: `${prefix}Role`, metadata, rules: rules.map(({ resourceNamespace, ...rule }) => rule) },
      { ...rbac, kind: `${prefix}RoleBinding`, metadata, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: `${prefix}Role`, name }, subjects: [{ kind: 'ServiceAccount', name, namespace }] },
    ]);
  }
}
await create([
  { ...rbac, kind: 'RoleBinding', metadata: { name: 'developer', namespace }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'goldpath-requester' }, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'developer' }] },
]);

// Folders as a Pod has one, and a kubeconfig: with the administrator's, the API server would not look at a token.
const [{ cluster }] = JSON.parse(await must(['config', 'view', '--raw', '--minify', '--flatten', '-o', 'json'])).clusters;
const server = new URL(cluster.server);
async function podOf(name) {
  const folder = join(work, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'token'), (await must(['create', 'token', name, '-n', namespace, '--duration=10m'])).trim());
  writeFileSync(join(folder, 'ca.crt'), Buffer.from(cluster['certificate-authority-data'], 'base64'));
  writeFileSync(join(folder, 'namespace'), namespace);
  writeFileSync(join(folder, 'kubeconfig'), JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    contexts: [{ name, context: { cluster: name, user: name } }],
    clusters: [{ name, cluster: { server: cluster.server, 'certificate-authority': 'ca.crt' } }],
    users: [{ name, user: { tokenFile: 'token' } }],
  }));
  return folder;
}
const accounts = new Map();
for (const { name } of [{ name: 'unbound' }, ...pipelines]) accounts.set(name, await podOf(name));
const withToken = name => [`--kubeconfig=${join(accounts.get(name), 'kubeconfig')}`];

const held = join(work, 'held');
async function cargoTest(expected, ...filter) {
  const env = {
    ...process.env,
    KUBERNETES_SERVICE_HOST: server.hostname.replace(/^\[|\]$/g, ''),
    KUBERNETES_SERVICE_PORT: server.port || '443',
    GOLDPATH_TEST_BOUND: accounts.get(pipelines[0].name),
    GOLDPATH_TEST_UNBOUND: accounts.get('unbound'),
    GOLDPATH_TEST_HELD: held,
  };
  delete env.SSL_CERT_FILE; // of another server
  const args = ['test', '--locked', '--test', 'it', '--', '--ignored', ...filter];
  const { stdout, stderr } = await promisify(execFile)('cargo', args, { cwd: root, env }).catch(error => error);
  if (!stdout.includes(`test result: ok. ${expected} passed`)) fault(`cargo ${args.join(' ')}`, `${stdout}${stderr}`);
}

await cargoTest(1, 'cluster::missing_secret');

const planted = randomBytes(24);
const values = {
  configmaps: { 'config.yaml': Buffer.from(readYaml(join(platform, 'config.yaml'))[0].data['config.yaml']), 'ca.crt': Buffer.from('-----\nü\n'), 'ca.der': planted },
  secrets: { token: Buffer.from(`${planted.toString('hex')}\n`), der: planted, empty: Buffer.alloc(0) },
};
for (const [resource, entries] of Object.entries(values)) {
  mkdirSync(join(held, resource), { recursive: true });
  for (const [key, value] of Object.entries(entries)) writeFileSync(join(held, resource, key), value);
}
await must(['patch', 'configmap', 'goldpath', '-n', SYSTEM, '--type=merge', '-p', JSON.stringify({
  data: { 'ca.crt': values.configmaps['ca.crt'].toString() }, binaryData: { 'ca.der': planted.toString('base64') },
})]);
await must(['create', 'secret', 'generic', READ.secrets, '-n', SYSTEM, ...Object.keys(values.secrets).map(key => `--from-file=${key}=${join(held, 'secrets', key)}`)]);
await create([
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'another', namespace: SYSTEM } },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'another', namespace: SYSTEM } },
]);

// What a request may refer to, in another namespace than its own.
const [{ spec }] = readYaml(join(root, 'promises/team/cases/minimal/request.yaml'));
await create([{ apiVersion: 'platform.kratix.io/v1alpha1', kind: 'Team', metadata: { name: 'parent', namespace: SYSTEM }, spec: { ...spec, id: 'contract-parent' } }]);

await cargoTest(6, 'cluster::', '--skip', 'cluster::missing_secret');

// Rights: who, the verb, the resource with its group and subresource, the name, where, and whether it is had.
const rights = [];
function right(who, has, verb, resource, name = '', where = SYSTEM) {
  rights.push({ who, has, verb, resource, name, where });
}

for (const verb of ['get', 'list', 'update', 'delete']) right('developer', true, verb, 'teams.platform.kratix.io', verb === 'list' ? '' : 'none', namespace);
right('developer', true, 'create', 'teams.platform.kratix.io', '', namespace);
for (const [resource, name] of Object.entries(READ)) right('unbound', false, 'get', resource, name);
for (const who of ['developer', ...pipelines.map(({ name }) => name)]) {
  const bound = who !== 'developer';
  for (const [resource, name] of Object.entries(READ)) {
    right(who, bound, 'get', resource, name);
    right(who, false, 'get', resource, 'another');
    right(who, false, 'get', resource, name, namespace);
    for (const verb of ['list', 'watch']) {
      right(who, false, verb, resource);
      right(who, false, verb, resource, name);
      right(who, false, verb, resource, '', namespace);
    }
    for (const verb of ['update', 'delete']) right(who, false, verb, resource, name);
    right(who, false, 'create', resource);
  }
  for (const where of [SYSTEM, namespace]) {
    for (const resource of ['pods', 'serviceaccounts', 'deployments.apps', 'jobs.batch', 'rolebindings.rbac.authorization.k8s.io']) {
      right(who, false, 'create', resource, '', where);
    }
    right(who, false, 'create', 'serviceaccounts/token', 'default', where);
  }
  for (const name of accounts.keys()) right(who, false, 'create', 'serviceaccounts/token', name, namespace);
}

const VERSIONS = { '': 'api/v1', 'platform.kratix.io': 'apis/platform.kratix.io/v1alpha1' };
const VERB = { get: 'get', list: 'get', watch: 'get', create: 'create', update: 'replace', delete: 'delete' };

async function says({ who, verb, resource, name, where }) {
  const [type, subresource] = resource.split('/');
  const as = who === 'developer' ? who : `system:serviceaccount:${namespace}:${who}`;
  const args = ['auth', 'can-i', verb, name ? `${type}/${name}` : type, '-n', where, `--as=${as}`];
  const { stdout, stderr } = await kubectl([...args, ...(subresource ? [`--subresource=${subresource}`] : [])]);
  return { yes: true, no: false }[stdout.trim().split(' ')[0]] ?? stderr.trim();
}

async function does({ who, verb, resource, name, where }) {
  const [type, subresource] = resource.split('/');
  const [plural, ...group] = type.split('.');
  const api = VERSIONS[group.join('.')] ?? `apis/${group.join('.')}/v1`;
  const collection = verb === 'list' || verb === 'watch';
  const path = ['', api, 'namespaces', where, plural, ...(name && !collection ? [name] : []), ...(subresource ? [subresource] : [])].join('/');
  const query = new URLSearchParams({
    ...(verb === 'watch' ? { watch: true, timeoutSeconds: 1 } : {}),
    ...(collection && name ? { fieldSelector: `metadata.name=${name}` } : {}),
    ...(VERB[verb] === 'get' ? {} : { dryRun: 'All' }),
  });
  const as = who === 'developer' ? ['--as=developer'] : withToken(who);
  const body = VERB[verb] === 'create' || VERB[verb] === 'replace' ? ['-f', '-'] : [];
  const { code, stdout, stderr } = await kubectl([VERB[verb], `--raw=${path}?${query}`, ...as, ...body], '{}');
  if (stderr.includes('Error from server (Forbidden)')) return false;
  // Who may create gets to hear that {} is nothing.
  if (code !== 0 && !/\((NotFound|BadRequest|Invalid)\)/.test(stderr)) return stderr.trim();
  if (code === 0 && verb === 'get' && where === SYSTEM && name === READ[plural]) {
    const { data = {}, binaryData = {} } = JSON.parse(stdout);
    const decoded = (entries, encoding) => Object.entries(entries).map(([key, value]) => [key, Buffer.from(value, encoding)]);
    const all = Object.fromEntries([...decoded(data, plural === 'secrets' ? 'base64' : 'utf8'), ...decoded(binaryData, 'base64')]);
    if (!isDeepStrictEqual(all, values[plural])) return 'is not what was put there';
  }
  return true;
}

async function ask(row) {
  const what = `${row.who}: ${row.verb} ${row.resource} ${row.name || '(any)'} in ${row.where}`;
  const [said, done] = [await says(row), await does(row)];
  if (said !== row.has) fault(what, `expected ${row.has}, the API server says: ${said}`);
  if (done !== row.has) fault(what, `expected ${row.has}, the API server does: ${done}`);
}
const queue = [...rights];
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let row = queue.shift(); row; row = queue.shift()) await ask(row);
}));

// And nothing else: what a bound account has that an unbound one lacks.
async function rules(name, where) {
  const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace: where } };
  const { status } = JSON.parse(await must(['create', '--validate=false', '-o', 'json', '-f', '-', ...withToken(name)], JSON.stringify(review)));
  if (status.incomplete) fault(name, `the API server cannot tell all rights in ${where}`);
  return status.resourceRules.flatMap(({ verbs, apiGroups, resources, resourceNames = ['*'] }) =>
    verbs.flatMap(verb => apiGroups.flatMap(group => resources.flatMap(resource => resourceNames.map(one => `${verb} ${group}/${resource} ${one}`)))));
}
for (const where of [SYSTEM, namespace, ...own, 'default', 'kube-system']) {
  const everybody = new Set(await rules('unbound', where));
  for (const { name, permissions } of pipelines) {
    const here = permissions.filter(({ resourceNamespace }) => resourceNamespace === '*' || resourceNamespace === where);
    const expected = here.flatMap(({ verbs, apiGroups: [group], resources, resourceNames: [one] = ['*'] }) =>
      verbs.flatMap(verb => resources.map(resource => `${verb} ${group}/${resource} ${one}`))).sort();
    const own = (await rules(name, where)).filter(rule => !everybody.has(rule)).sort();
    if (!isDeepStrictEqual(own, expected)) fault(name, `has in ${where}: ${own.join(', ') || 'nothing'}`);
  }
}

console.log(`platform: ${rights.length} rights of ${pipelines.length} pipelines, of a developer and of nobody, ${faults} faults`);
process.exit(pipelines.length > 0 && faults === 0 ? 0 : 1);
