// Asks the real API server about each schedule and time zone of schedules.yaml, which our own rules are tested with.
//   node schedules.mjs NAMESPACE
import { kubectl, readYaml } from './lib.mjs';

const namespace = process.argv[2];
const [{ schedules, timeZones }] = readYaml(new URL('schedules.yaml', import.meta.url).pathname);
const rows = [
  ...schedules.taken.concat(schedules.slips).map(schedule => ({ schedule, taken: true })),
  ...schedules.refused.map(schedule => ({ schedule, taken: false })),
  ...timeZones.taken.map(timeZone => ({ schedule: '@daily', timeZone, taken: true })),
  ...timeZones.refused.map(timeZone => ({ schedule: '@daily', timeZone, taken: false })),
];
const container = { name: 'a', image: 'example.com/a:1' };
const cron = ({ schedule, timeZone }, number) => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name: `c${number}`, namespace },
  spec: { schedule, timeZone, jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } } } } },
});
const list = { apiVersion: 'v1', kind: 'List', items: rows.map(cron) };
const { stdout } = await kubectl(['create', '--dry-run=server', '-o', 'name', '-f', '-'], JSON.stringify(list));
const taken = new Set(stdout.split('\n').filter(Boolean).map(name => name.split('/')[1]));
const wrong = rows.filter((row, number) => taken.has(`c${number}`) !== row.taken);
for (const { schedule, timeZone, taken } of wrong) console.error(`schedule ${JSON.stringify(schedule)}, time zone ${JSON.stringify(timeZone)}: expected that it is ${taken ? 'taken' : 'refused'}`);
console.log(`${rows.length} schedules and time zones, ${wrong.length} faults`);
process.exit(taken.size > 0 && wrong.length === 0 ? 0 : 1);
