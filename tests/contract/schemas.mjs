// Whether the JSON Schema that editors get of a Promise takes what the API server takes, and refuses what it refuses by its
// schema: every request of the Promise's table.
//   node schemas.mjs PROMISE-FOLDER…
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Ajv } from 'ajv';
import { requestsOf } from './kubernetes/lib.mjs';

let faults = 0;
for (const folder of process.argv.slice(2)) {
  const name = basename(folder);
  const schema = JSON.parse(readFileSync(join(folder, '..', '..', 'schemas', `${name}.json`), 'utf8'));
  // As the YAML language server: what is not known is no fault of the schema.
  const check = new Ajv({ allErrors: true, strict: false, validateFormats: false }).compile(schema);
  const told = { taken: 0, refused: 0 };
  for (const { row, object } of requestsOf(folder)) {
    const isRight = check(object);
    told[isRight ? 'taken' : 'refused'] += 1;
    // The API server drops what is empty; an editor that shows it helps.
    if (row.accepted && !isRight && !JSON.stringify(object).includes('null')) {
      faults += 1;
      console.error(`${name}: ${row.that}: refused: ${check.errors.map(error => `${error.instancePath} ${error.message}`).join('; ')}`);
    }
    if (/in body should|Required value|Unsupported value|unknown field "spec|Too long|Too many/.test(row.refused ?? '') && isRight) {
      faults += 1;
      console.error(`${name}: ${row.that}: taken`);
    }
  }
  console.log(`${name}: the schema for editors takes ${told.taken} requests of the table and refuses ${told.refused}`);
  if (told.taken === 0 || told.refused === 0) faults += 1;
}
process.exit(faults === 0 ? 0 : 1);
