// Delivers Teams with the real binary, and holds what a real Backstage then shows against what was asked for: exactly,
// after a first delivery, an update, a deletion, and without a fault of an entity or an unexpected line in its log.
//   node discover.mjs GOLDPATH
// Takes GITEA_URL, GITEA_TOKEN (an administrator's), GITEA_TOKEN_FILE, GITEA_CA_FILE, BACKSTAGE_URL, BACKSTAGE_LOG and
// BACKSTAGE_ORGANIZATION; trusts NODE_EXTRA_CA_CERTS. It makes the organisation, and removes it with all that it holds.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';

const PREFIX = 'goldpath-backstage-'; // of an organisation that may be removed: a killed run's, too
const { GITEA_URL, GITEA_TOKEN, GITEA_TOKEN_FILE, GITEA_CA_FILE } = process.env;
const { BACKSTAGE_URL, BACKSTAGE_LOG, BACKSTAGE_ORGANIZATION: organization } = process.env;
const goldpath = resolve(process.argv[2]);
const home = `${GITEA_URL}/${organization}`;
const folder = mkdtempSync(join(tmpdir(), PREFIX));
const start = statSync(BACKSTAGE_LOG).size;
const faults = new Set();

// What Backstage may warn of: nothing of it is about an entity.
const expectedInLog = [
  // It asks every repository of the organisation for a catalog, Terraform's too.
  `Repo ${home}/infrastructure does not contain a catalog-info.yaml file`,
  // Before the first delivery, which is to an empty repository on purpose.
  `Repo ${home}/infrastructure is empty, skipping`,
  `Repo ${home}/catalog is empty, skipping`,
  // Between its making and its first commit, a moment later.
  `Repo ${home}/people is empty, skipping`,
];

async function gitea(method, path, body) {
  const answer = await fetch(`${GITEA_URL}/api/v1${path}`, {
    method,
    body: body && JSON.stringify(body),
    headers: { authorization: `token ${GITEA_TOKEN}`, 'content-type': 'application/json', connection: 'close' },
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? undefined : answer.json();
}

async function catalog(path) {
  // A kept connection may end while `goldpath` runs.
  const answer = await fetch(`${BACKSTAGE_URL}/api/catalog${path}`, { headers: { connection: 'close' } });
  if (answer.status === 404) return undefined;
  if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function removeOrganizations() {
  const names = [];
  for (let page = 1, found; page === 1 || found.length > 0; page += 1) {
    found = await gitea('GET', `/admin/orgs?limit=50&page=${page}`);
    names.push(...found.map(({ username }) => username).filter(name => name.startsWith(PREFIX)));
  }
  for (const name of names) {
    for (const { full_name } of await gitea('GET', `/orgs/${name}/repos?limit=50`)) {
      await gitea('DELETE', `/repos/${full_name}`);
    }
    await gitea('DELETE', `/orgs/${name}`);
  }
}

// Backstage does not log what is wrong with an entity: it shows it there, until it looks again.
async function noteFaults() {
  for (const { kind, metadata, status } of await catalog('/entities')) {
    for (const { message } of status?.items ?? []) faults.add(`${kind} ${metadata.name}: ${message}`);
  }
}

async function eventually(what, check) {
  const begin = Date.now();
  for (;;) {
    await noteFaults();
    try {
      await check();
      return console.log(`${what} after ${((Date.now() - begin) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (Date.now() - begin > 120_000) throw error;
    }
    await new Promise(resolve => setTimeout(resolve, 500));
  }
}

function run(teams, outcome, ...options) {
  const remote = name => ({ owner: organization, name, delivery: 'commit' });
  const config = {
    gitea: { url: GITEA_URL, caFile: GITEA_CA_FILE, tokenFile: GITEA_TOKEN_FILE },
    repositories: { catalog: remote('catalog'), infrastructure: remote('infrastructure') },
  };
  writeFileSync(join(folder, 'platform.yaml'), stringify(config));
  const requests = teams.map(spec => {
    const metadata = { name: `${spec.id}-request` };
    // A `no` is put in quotes, which kubectl needs.
    return stringify({ apiVersion: 'platform.kratix.io/v1alpha1', kind: 'Team', metadata, spec }, { version: '1.1' });
  });
  writeFileSync(join(folder, 'team.yaml'), requests.join('---\n'));
  const args = ['run', '--config', 'platform.yaml', '--output', 'json', '-f', 'team.yaml', ...options];
  const reports = JSON.parse(execFileSync(goldpath, args, { cwd: folder, encoding: 'utf8' }));
  assert.deepEqual(reports.map(report => report.outcome), teams.map(() => outcome));
}

// What group.yaml.j2 writes, and what Backstage adds to it.
function group(team, relations) {
  const file = `catalog/src/branch/main/teams/${team.id}.yaml`;
  return {
    apiVersion: 'backstage.io/v1alpha1',
    kind: 'Group',
    metadata: {
      namespace: 'default',
      name: team.id,
      title: team.name,
      ...(team.description && { description: team.description }),
      annotations: {
        'backstage.io/managed-by-location': `url:${home}/${file}`,
        'backstage.io/managed-by-origin-location': `url:${home}/catalog/src/branch/main/catalog-info.yaml`,
        'backstage.io/view-url': `${home}/${file}`,
        'backstage.io/edit-url': `${home}/${file.replace('/src/branch/', '/_edit/')}`,
        'backstage.io/source-location': `url:${home}/catalog/src/branch/main/teams/`,
        'goldpath.dev/managed-by': 'goldpath',
        'goldpath.dev/request': `team/default/${team.id}-request`,
        'goldpath.dev/repository': `infrastructure/teams/${team.id}`,
        'goldpath.dev/organization': team.id,
      },
      links: [{ url: `${GITEA_URL}/${team.id}`, title: 'Organisation in Gitea' }],
    },
    spec: {
      type: 'team',
      profile: { displayName: team.name, email: team.email ?? `${team.id}@example.com` },
      ...(team.parent && { parent: team.parent }),
      children: [],
      members: (team.members ?? []).map(({ username }) => username).sort(),
    },
    relations: relations.map(([type, targetRef]) => ({ type, targetRef })),
  };
}

async function shows(expected) {
  const entity = await catalog(`/entities/by-name/group/default/${expected.metadata.name}`);
  assert.ok(entity, `Backstage shows no group ${expected.metadata.name}`);
  const { uid, etag, ...metadata } = entity.metadata; // random
  assert.deepEqual({ ...entity, metadata }, expected);
}

async function isMember(user, expected) {
  const entity = await catalog(`/entities/by-name/user/default/${user}`);
  assert.deepEqual(entity?.relations, expected ? [{ type: 'memberOf', targetRef: `group:default/${team.id}` }] : []);
}

// From the first line that knows the organisation: before it is made, its absence is an error.
function log() {
  const text = readFileSync(BACKSTAGE_LOG).subarray(start).toString();
  const lines = text.replace(/\x1b\[[0-9;]*m/g, '').split('\n').slice(0, -1);
  const first = lines.findIndex(line => line.includes(`${home}/`));
  return first < 0 ? [] : lines.slice(first);
}

const sweeps = () => log().filter(line => / info Found \d+ locations from \d+ repos /.test(line)).length;

// It logs a trace of the first fault only: a failed attempt to tell an events backend, which is not there.
function checkFirstFaultIsToCome() {
  const before = readFileSync(BACKSTAGE_LOG).subarray(0, start).toString();
  const ofThisProcess = before.slice(before.lastIndexOf('Loading config from'));
  assert.doesNotMatch(ofThisProcess, /events backend not found/, 'a fault was there before: start Backstage anew');
}

function checkFaults() {
  assert.deepEqual([...faults], [], 'faults of entities');
  const lines = log().filter(line => !/^\S+Z \S+ info /.test(line));
  const unexpected = lines.filter(line => !expectedInLog.some(text => line.includes(` warn ${text}`)));
  assert.deepEqual(unexpected, [], 'lines in the log of Backstage');
  console.log(`${lines.length} warnings, all expected, in ${sweeps()} discoveries`);
}

const parent = { id: 'gp-engineering', name: 'Engineering' };
const team = {
  id: 'gp-payments',
  name: 'Ünï "quoted" ${x} {{ y }} 🦀',
  description: "# takes 'money' & gives: *some* back",
  email: 'payments@company.com',
  parent: parent.id,
  members: [{ username: 'grace', role: 'admin' }, { username: 'Ada.Lovelace' }, { username: 'no_user-yet' }],
};
const members = [{ username: 'linus' }, { username: 'Ada.Lovelace' }];
const updated = { ...team, name: 'no', description: '2026-01-01', members };
const childOf = ['childOf', `group:default/${parent.id}`];
const parentOf = ['parentOf', `group:default/${team.id}`];
const hasMembers = names => names.map(name => ['hasMember', `user:default/${name}`]);

try {
  assert.ok(organization.startsWith(PREFIX), `${organization} does not begin with ${PREFIX}: it will be removed`);
  checkFirstFaultIsToCome();
  await removeOrganizations();
  await gitea('POST', '/orgs', { username: organization, visibility: 'private' });
  for (const name of ['catalog', 'infrastructure', 'people']) {
    await gitea('POST', `/orgs/${organization}/repos`, { name, default_branch: 'main' });
  }
  // Goldpath makes no User: they come from elsewhere.
  const people = ['Ada.Lovelace', 'grace', 'linus'].map(name =>
    stringify({ apiVersion: 'backstage.io/v1alpha1', kind: 'User', metadata: { name }, spec: { memberOf: [] } }),
  );
  const content = Buffer.from(people.join('---\n')).toString('base64');
  const file = `/repos/${organization}/people/contents/catalog-info.yaml`;
  await gitea('POST', file, { content, branch: 'main', message: 'people' });
  await eventually('people visible', () => isMember('ada.lovelace', false));

  run([parent, team], 'committed');
  await eventually('delivery visible', async () => {
    await shows(group(team, [childOf, ...hasMembers(['ada.lovelace', 'grace', 'no_user-yet'])]));
    await shows(group(parent, [parentOf]));
    for (const user of ['ada.lovelace', 'grace']) await isMember(user, true);
    await isMember('linus', false);
  });

  run([updated], 'committed');
  await eventually('update visible', async () => {
    await shows(group(updated, [childOf, ...hasMembers(['ada.lovelace', 'linus'])]));
    for (const user of ['ada.lovelace', 'linus']) await isMember(user, true);
    await isMember('grace', false);
  });

  run([updated], 'deleted', '--delete');
  await eventually('deletion visible', async () => {
    assert.doesNotMatch(JSON.stringify(await catalog('/entities')), new RegExp(team.id));
    await shows(group(parent, []));
  });

  run([parent], 'deleted', '--delete');
  await eventually('deletion of the last Team visible', async () => {
    assert.doesNotMatch(JSON.stringify(await catalog('/entities')), /gp-|goldpath.dev/);
  });
  const seen = sweeps();
  await eventually('another discovery', () => assert.ok(sweeps() > seen, `${BACKSTAGE_LOG} tells of no discovery`));
  checkFaults();
} finally {
  await removeOrganizations();
  rmSync(folder, { recursive: true });
}
