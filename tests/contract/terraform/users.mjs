// The people of a plan, in a Gitea that may not know them.
//   terraform show -json PLAN | node users.mjs create   makes who is missing, prints who it made
//   node users.mjs delete NAME…                         removes them
// Takes GITEA_URL and GITEA_TOKEN (an administrator's); trusts NODE_EXTRA_CA_CERTS.
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';

async function call(method, path, body) {
  const answer = await fetch(`${process.env.GITEA_URL}/api/v1${path}`, {
    method,
    body: body && JSON.stringify(body),
    headers: { authorization: `token ${process.env.GITEA_TOKEN}`, 'content-type': 'application/json' },
  });
  if (!answer.ok && answer.status !== 404) {
    throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
  return answer.status;
}

const [action, ...names] = process.argv.slice(2);
if (action === 'create') {
  const plan = JSON.parse(await text(process.stdin));
  const usernames = plan.resource_changes
    .filter(({ type }) => type === 'gitea_team_membership')
    .map(({ change }) => change.after.username);
  for (const username of new Set(usernames)) {
    if ((await call('GET', `/users/${username}`)) !== 404) continue;
    const password = `${randomBytes(18).toString('base64')}aA1`;
    const email = `${username}@example.invalid`;
    await call('POST', '/admin/users', { username, email, password, must_change_password: false });
    console.log(username);
  }
} else {
  for (const name of names) await call('DELETE', `/admin/users/${name}`);
}
