// Stops where a root module lacks an output that people and other steps read.
//   terraform output -json | node check-outputs.mjs NAME…
import { text } from 'node:stream/consumers';

const outputs = JSON.parse(await text(process.stdin));
const missing = process.argv.slice(2).filter(name => !String(outputs[name]?.value ?? ''));
for (const name of missing) console.error(`output ${name} is missing or empty`);
process.exit(missing.length === 0 ? 0 : 1);
