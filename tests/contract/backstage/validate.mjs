// Holds trees of the catalog repository against Backstage's own rules, and against each other.
//   node validate.mjs FOLDER…
// Every *.yaml outside dot folders is an entity file. Exit 1 with a line per fault, or where nothing was validated.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import {
  DefaultNamespaceEntityPolicy,
  EntityPolicies,
  FieldFormatEntityPolicy,
  NoForeignRootFieldsEntityPolicy,
  SchemaValidEntityPolicy,
  componentEntityV1alpha1Validator,
  entityEnvelopeSchemaValidator,
  groupEntityV1alpha1Validator,
  locationEntityV1alpha1Validator,
  makeValidator,
  parseEntityRef,
  resourceEntityV1alpha1Validator,
  stringifyEntityRef,
  systemEntityV1alpha1Validator,
} from '@backstage/catalog-model';
import { parseAllDocuments } from 'yaml';

const ROOT = 'catalog-info.yaml';
const envelope = entityEnvelopeSchemaValidator();
const { isValidEntityName } = makeValidator();
const kinds = {
  Component: componentEntityV1alpha1Validator,
  Group: groupEntityV1alpha1Validator,
  Location: locationEntityV1alpha1Validator,
  Resource: resourceEntityV1alpha1Validator,
  System: systemEntityV1alpha1Validator,
};
// The policies of @backstage/plugin-catalog-backend, in its order.
const policies = EntityPolicies.allOf([
  new SchemaValidEntityPolicy(),
  new DefaultNamespaceEntityPolicy(),
  new NoForeignRootFieldsEntityPolicy(),
  new FieldFormatEntityPolicy(),
]);

function entityFiles(folder, below = folder) {
  return readdirSync(below, { withFileTypes: true }).flatMap(entry => {
    if (entry.name.startsWith('.')) return [];
    const path = join(below, entry.name);
    if (entry.isDirectory()) return entityFiles(folder, path);
    return entry.name.endsWith('.yaml') ? [relative(folder, path)] : [];
  });
}

async function readEntities(folder, file, fault) {
  const entities = [];
  // As in Backstage's parseEntityYaml.
  const documents = parseAllDocuments(readFileSync(join(folder, file), 'utf8'), { merge: true });
  if (documents.length === 0) fault(file, 'holds no entity');
  for (const document of documents) {
    try {
      if (document.errors.length > 0) throw document.errors[0];
      const entity = await policies.enforce(envelope(document.toJS()));
      const kind = kinds[entity.kind];
      if (!kind) throw new Error(`kind ${entity.kind} is none that Goldpath makes`);
      if (!(await kind.check(entity))) throw new Error(`apiVersion ${entity.apiVersion} is none of kind ${entity.kind}`);
      entities.push({ file, entity });
    } catch (error) {
      fault(file, error.message);
    }
  }
  return entities;
}

function checkTargets(files, entities, fault) {
  const listed = new Map();
  for (const { file, entity } of entities.filter(({ entity }) => entity.kind === 'Location')) {
    for (const target of [entity.spec.target, ...(entity.spec.targets ?? [])].filter(Boolean)) {
      const path = normalize(join(dirname(file), target));
      if (!files.includes(path)) fault(file, `target ${target} is not in the tree`);
      listed.set(path, (listed.get(path) ?? 0) + 1);
    }
  }
  if (!files.includes(ROOT)) fault(ROOT, 'is not in the tree');
  for (const file of files.filter(file => file !== ROOT && listed.get(file) !== 1)) {
    fault(file, `is listed ${listed.get(file) ?? 0} times by a Location, not once`);
  }
}

function checkReferences(entities, fault) {
  const owners = new Map();
  for (const { file, entity } of entities) {
    const ref = stringifyEntityRef(entity); // in lower case, as the catalog compares
    if (owners.has(ref)) fault(file, `${ref} is in ${owners.get(ref)} already`);
    owners.set(ref, file);
  }
  for (const { file, entity } of entities.filter(({ entity }) => entity.kind === 'Group')) {
    const defaultNamespace = entity.metadata.namespace;
    const groups = [['parent', entity.spec.parent], ...entity.spec.children.map(child => ['child', child])];
    for (const [what, name] of groups.filter(([, name]) => name !== undefined)) {
      const ref = stringifyEntityRef(parseEntityRef(name, { defaultKind: 'Group', defaultNamespace }));
      if (!owners.has(ref)) fault(file, `${what} ${ref} is not in the tree`);
    }
    const members = entity.spec.members ?? [];
    for (const member of members) {
      // No User is in the tree: a person may be in several Teams, and a catalog takes an entity once.
      const { name } = parseEntityRef(member, { defaultKind: 'User', defaultNamespace });
      if (!isValidEntityName(name)) fault(file, `member ${member} is no name of an entity`);
    }
    if (new Set(members).size !== members.length) fault(file, 'a member is there twice');
  }
}

let faults = 0;
let count = 0;
const folders = process.argv.slice(2);
for (const folder of folders) {
  const fault = (file, message) => {
    faults += 1;
    console.error(`${join(folder, file)}: ${message}`);
  };
  const files = entityFiles(folder);
  const entities = [];
  for (const file of files) entities.push(...(await readEntities(folder, file, fault)));
  count += entities.length;
  checkTargets(files, entities, fault);
  checkReferences(entities, fault);
}
console.log(`${count} entities in ${folders.length} catalogs, ${faults} faults`);
process.exit(count > 0 && faults === 0 ? 0 : 1);
