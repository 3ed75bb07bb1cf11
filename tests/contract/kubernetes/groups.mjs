// Proves on the real API server what the groups of Gitea may do, as an API server with the prefix `gitea:` makes them from
// the claim `groups`: by impersonation, which is what it does after it has read a token.
//   node groups.mjs GOLDPATH
// The caller removes what carries LABEL.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { stringify } from 'yaml';
import { LABEL, kubectl, must, readYaml } from './lib.mjs';

const PREFIX = 'gitea:';
const ROLES = { admin: 'admin', maintainer: 'edit', developer: 'edit', viewer: 'view' };
const TEAMS = ['gp-contract-one', 'gp-contract-two'];
const [goldpath] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), 'goldpath-groups-'));
process.on('exit', () => rmSync(work, { recursive: true }));

let faults = 0;
let asked = 0;
const fault = (what, message) => {
  faults += 1;
  console.error(`groups: ${what}: ${message}`);
};

// Who is signed in, with the groups that Gitea's claim has for the teams of organisations (the organisation, and each team).
const member = (...teams) => ['--as=somebody', '--as-group=system:authenticated',
  ...new Set(teams.flatMap(([organisation, team]) => [`--as-group=${PREFIX}${organisation}`, `--as-group=${PREFIX}${organisation}:${team}`]))];
const nobody = ['--as=somebody', '--as-group=system:authenticated'];

async function rules(who, namespace) {
  asked += 1;
  const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } };
  const { status } = JSON.parse(await must(['create', '--validate=false', '-o', 'json', '-f', '-', ...who], JSON.stringify(review)));
  if (status.incomplete) fault(namespace, 'the API server cannot tell all rights');
  return spelledOut(status.resourceRules);
}
const spelledOut = list => list.flatMap(({ verbs, apiGroups = [], resources = [], resourceNames = ['*'] }) =>
  verbs.flatMap(verb => apiGroups.flatMap(group => resources.flatMap(resource => resourceNames.map(name => `${verb} ${group}/${resource} ${name}`)))));
const sorted = set => [...new Set(set)].sort();

async function can(who, ...args) {
  asked += 1;
  const { stdout, stderr } = await kubectl(['auth', 'can-i', ...args, ...who]);
  return { yes: true, no: false }[stdout.trim().split(' ')[0]] ?? stderr.trim();
}

// Not only what the API server says, but what it does.
async function does(expected, what, who, args, input) {
  asked += 1;
  const { code, stderr } = await kubectl([...args, ...who], input);
  if (code !== 0 && !stderr.includes('Forbidden') && !stderr.includes('forbidden')) fault(what, stderr.trim());
  if ((code === 0) !== expected) fault(what, `expected ${expected ? 'it to be done' : 'a refusal'}: ${stderr.trim()}`);
}

// Two Teams, as they are delivered.
const requests = TEAMS.map(id => ({ apiVersion: 'platform.kratix.io/v1alpha1', kind: 'Team', metadata: { name: id }, spec: { id, name: id } }));
const run = promisify(execFile)(resolve(goldpath), ['run', '-f', '-'], { cwd: work });
run.child.stdin.end(requests.map(request => stringify(request)).join('---\n'));
await run;
const objects = TEAMS.flatMap(id => {
  const folder = join(work, '.goldpath/requests/team/default', id, 'output');
  return readdirSync(folder).filter(name => /_(namespace|role-bindings)\.yaml$/.test(name)).flatMap(name => readYaml(join(folder, name)));
});
for (const { kind, metadata } of objects) if (kind === 'Namespace') metadata.labels[LABEL] = 'true';
objects.sort((a, b) => Number(b.kind === 'Namespace') - Number(a.kind === 'Namespace'));
await must(['create', '--validate=strict', '-f', '-'], objects.map(object => stringify(object)).join('---\n'));

const [one, two] = TEAMS.map(id => `team-${id}`);
const elsewhere = [two, 'default', 'kube-system'];
const everybodys = new Map();
for (const namespace of [one, ...elsewhere]) everybodys.set(namespace, sorted(await rules(nobody, namespace)));

// That this can fail: where the API server has no prefix, an organisation `system` with a team `masters` has everything.
const masters = ['--as=somebody', '--as-group=system', '--as-group=system:masters'];
if (await can(masters, '*', '*', '--all-namespaces') !== true) fault('system:masters', 'may not do everything: this test shows nothing');

// With one: any teams of any organisations, those of no Team's id too, all at once.
const organisations = ['system', 'kubeadm', 'kubernetes', 'default', 'kube-system', 'masters', 'system-masters', 'sys', 'gitea', 'admin', 'x'.repeat(40),
  ...readdirSync('promises/team/cases').flatMap(name => [...readFileSync(join('promises/team/cases', name, 'request.yaml'), 'utf8').matchAll(/^ +id: ([a-z0-9-]+)$/gm)].map(([, id]) => id))];
const teams = ['masters', 'nodes', 'authenticated', 'serviceaccounts', 'cluster-admins', 'bootstrappers', 'admin', 'owners'];
const all = member(...organisations.flatMap(organisation => teams.map(team => [organisation, team])));
for (const [namespace, expected] of everybodys) {
  const had = sorted(await rules(all, namespace));
  if (!isDeepStrictEqual(had, expected)) fault(`other groups in ${namespace}`, `may also ${had.filter(rule => !expected.includes(rule)).join(', ')}`);
}
if (await can(all, '*', '*', '--all-namespaces') !== false) fault('other groups', 'may do everything');
await does(false, 'other groups: nodes', all, ['get', 'nodes']);
await does(false, 'other groups: secrets', all, ['get', 'secrets', '--all-namespaces']);

// A member has the rights of the role in the Team's namespace, and no other anywhere.
const binding = JSON.stringify({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: 'more' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' }, subjects: [] });
const clusterBinding = JSON.stringify({ ...JSON.parse(binding), kind: 'ClusterRoleBinding' });
await Promise.all(Object.entries(ROLES).map(async ([role, clusterRole]) => {
  const who = member([TEAMS[0], role]);
  const { rules: granted } = JSON.parse(await must(['get', 'clusterrole', clusterRole, '-o', 'json']));
  const expected = sorted([...everybodys.get(one), ...spelledOut(granted)]);
  const had = sorted(await rules(who, one));
  if (granted.length === 0 || !isDeepStrictEqual(had, expected)) {
    fault(`${role} in ${one}`, `lacks ${expected.filter(rule => !had.includes(rule)).join(', ')}; has ${had.filter(rule => !expected.includes(rule)).join(', ')}`);
  }
  for (const namespace of elsewhere) {
    const more = sorted(await rules(who, namespace)).filter(rule => !everybodys.get(namespace).includes(rule));
    if (more.length > 0) fault(`${role} in ${namespace}`, `may ${more.join(', ')}`);
  }
  if (await can(who, 'get', 'pods', '--all-namespaces') !== false) fault(role, 'sees the Pods of all namespaces');
  const dry = ['create', '--dry-run=server', '-f', '-'];
  await does(true, `${role}: see Pods`, who, ['get', 'pods', '-n', one]);
  await does(clusterRole !== 'view', `${role}: write`, who, ['create', 'configmap', 'c', '--dry-run=server', '-n', one]);
  await does(clusterRole === 'admin', `${role}: give rights`, who, [...dry, '-n', one], binding);
  await does(false, `${role}: see another Team's Pods`, who, ['get', 'pods', '-n', two]);
  await does(false, `${role}: write elsewhere`, who, ['create', 'configmap', 'c', '--dry-run=server', '-n', two]);
  await does(false, `${role}: give rights on all`, who, dry, clusterBinding);
  await does(false, `${role}: see nodes`, who, ['get', 'nodes']);
}));
// Who is in the organisation, and in no team of it, has nothing.
if (!isDeepStrictEqual(sorted(await rules(['--as=somebody', '--as-group=system:authenticated', `--as-group=${PREFIX}${TEAMS[0]}`], one)), everybodys.get(one))) fault('the organisation', 'has rights');

console.log(`groups: ${all.length - 2} groups of other organisations have nothing, ${Object.keys(ROLES).length} roles have exactly theirs, by ${asked} questions, ${faults} faults`);
process.exit(faults === 0 ? 0 : 1);
