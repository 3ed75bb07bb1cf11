// Asks the real API server whether it takes every manifest, in a strict server-side dry run.
//   node manifests.mjs FILE…
// Namespaces are created for real first: a dry run in one that is not there fails. The caller removes what carries LABEL.
import { LABEL, kubectl, must, readYaml } from './lib.mjs';

const list = items => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const files = process.argv.slice(2);
// Destinations are Kratix's own, which is in no package registry: the end-to-end tests show those to it.
const isKratixs = object => object.apiVersion.startsWith('platform.kratix.io/');
const read = files.map(file => ({ file, objects: readYaml(file).filter(object => object !== null) }));
const objects = read.flatMap(({ file, objects }) => objects.filter(object => !isKratixs(object)).map(object => ({ file, object })));

let faults = 0;
const fault = (file, message) => {
  faults += 1;
  console.error(`${file}: ${message}`);
};

const namespaces = new Set(objects.map(({ object }) => (object.kind === 'Namespace' ? object.metadata.name : object.metadata.namespace)));
// Kubernetes' own are in every cluster.
const made = [...namespaces].filter(name => !name.startsWith('kube-')).map(name => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { [LABEL]: 'true' } } }));
// Not `apply`: a namespace that is there already is somebody's.
if (made.length > 0) await must(['create', '-f', '-'], list(made));

const roles = new Set((await must(['get', 'clusterroles', '-o', 'name'])).split('\n').map(name => name.split('/')[1]));
for (const { file, object: { roleRef } } of objects) {
  // The API server takes a binding to nothing.
  if (roleRef?.kind === 'ClusterRole' && !roles.has(roleRef.name)) fault(file, `there is no ClusterRole ${roleRef.name}`);
}

const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--force-conflicts', '-o', 'name'];
const { code, stdout, stderr } = await kubectl([...apply, '-f', '-'], list(objects.map(({ object }) => object)));
const taken = stdout.split('\n').filter(Boolean).length;
if (code !== 0) fault('kubectl apply', stderr.trim());
else if (taken !== objects.length) fault('kubectl apply', `took ${taken} of ${objects.length} objects`);

console.log(`${taken} manifests taken of ${objects.length} in ${files.length} files and ${made.length} namespaces, ${faults} faults`);
process.exit(taken > 0 && faults === 0 ? 0 : 1);
