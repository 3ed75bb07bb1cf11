// Holds root modules against the real provider's schema, which knows more than `terraform validate` with a stand-in.
//   GITEA_PROVIDER_SCHEMA=FILE node check-schema.mjs FOLDER…
// FILE is what `terraform providers schema -json` prints. Exit 1 with a line per fault, or where nothing was checked.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import hcl from '@cdktf/hcl2json';

const meta = new Set(['count', 'depends_on', 'for_each', 'lifecycle', 'provider']);
const builtIn = new Set(['terraform_data']);
// The provider's schema marks neither as sensitive.
const credentials = new Set(['password', 'token']);

const { provider_schemas: providers } = JSON.parse(readFileSync(process.env.GITEA_PROVIDER_SCHEMA, 'utf8'));
const [, schema] = Object.entries(providers).find(([name]) => name.endsWith('/go-gitea/gitea')) ?? [];
if (!schema) throw new Error('GITEA_PROVIDER_SCHEMA knows no provider go-gitea/gitea');

function checkBody(body, { attributes = {}, block_types: blocks = {} }, isProvider, fault) {
  for (const [name, value] of Object.entries(body)) {
    const attribute = attributes[name];
    if (blocks[name]) {
      for (const inner of value) checkBody(inner, blocks[name].block, isProvider, message => fault(`${name}: ${message}`));
    } else if (!attribute) {
      fault(`\`${name}\` is no attribute`);
    } else if (attribute.computed && !attribute.optional && !attribute.required) {
      fault(`\`${name}\` is the provider's to set`);
    } else if (attribute.sensitive || (isProvider && credentials.has(name))) {
      fault(`\`${name}\` is a secret, which no module holds`);
    }
  }
  for (const [name, { required }] of Object.entries(attributes)) {
    if (required && body[name] === undefined) fault(`\`${name}\` is required`);
  }
  for (const [name, { min_items: least = 0 }] of Object.entries(blocks)) {
    if ((body[name]?.length ?? 0) < least) fault(`block \`${name}\` is required`);
  }
}

let faults = 0;
let count = 0;
for (const folder of process.argv.slice(2)) {
  for (const file of readdirSync(folder).filter(name => name.endsWith('.tf'))) {
    const path = join(folder, file);
    const module = await hcl.parse(path, readFileSync(path, 'utf8'));
    const check = (address, body, block, isProvider = false) => {
      count += 1;
      const fault = message => {
        faults += 1;
        console.error(`${path}: ${address}: ${block ? message : 'is no type of the provider'}`);
      };
      if (!block) return fault();
      const own = Object.entries(body).filter(([name]) => !meta.has(name));
      return checkBody(Object.fromEntries(own), block, isProvider, fault);
    };
    for (const [kind, schemas] of [['resource', schema.resource_schemas], ['data', schema.data_source_schemas]]) {
      for (const [type, named] of Object.entries(module[kind] ?? {})) {
        if (builtIn.has(type)) continue;
        for (const [name, bodies] of Object.entries(named)) {
          for (const body of bodies) check(`${type}.${name}`, body, schemas[type]?.block);
        }
      }
    }
    for (const [name, bodies] of Object.entries(module.provider ?? {})) {
      for (const { alias, ...body } of bodies) check(`provider.${name}`, body, name === 'gitea' && schema.provider.block, true);
    }
  }
}
console.log(`${count} blocks in ${process.argv.length - 2} root modules, ${faults} faults`);
process.exit(count > 0 && faults === 0 ? 0 : 1);
