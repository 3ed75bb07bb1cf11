// Pictures of comments as Gitea shows them: each in the light and in the dark theme.
//   node pictures.mjs OUT-FOLDER COMMENT.md…
// Takes GITEA_URL, GITEA_TOKEN_FILE (an administrator's) and GITEA_CA_FILE from the environment, CHROMIUM (default
// chromium), and GITEA_SOURCE, the folder of Gitea's sources, where the server was built without its style sheets.
// What it makes in Gitea, an organisation, it removes.
import { mkdirSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import { basename, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import puppeteer from 'puppeteer-core';
import { styleSheets } from './styles.mjs';

const [out, ...comments] = process.argv.slice(2);
if (!out || comments.length === 0) {
  console.error('usage: node pictures.mjs OUT-FOLDER COMMENT.md…');
  process.exit(2);
}
const { GITEA_URL: url, GITEA_TOKEN_FILE: tokenFile, GITEA_CA_FILE: caFile } = process.env;
if (!url || !tokenFile || !caFile) throw new Error('GITEA_URL, GITEA_TOKEN_FILE and GITEA_CA_FILE must be set');
const token = readFileSync(tokenFile, 'utf8').trim();
const ca = readFileSync(caFile);
const name = `goldpath-test-picture-${process.pid}`;

// The server's answer: its certificate is checked against the one authority that may sign it.
async function ask(method, address, headers = {}, body = undefined) {
  const answer = await new Promise((resolve, reject) => {
    request(address, { method, ca, headers, timeout: 20_000 }, resolve).on('error', reject).end(body);
  });
  return { status: answer.statusCode, type: answer.headers['content-type'], content: await buffer(answer) };
}

async function api(method, path, body, expected = [200, 201, 204]) {
  const headers = { authorization: `token ${token}`, 'content-type': 'application/json' };
  const { status, content } = await ask(method, `${url}/api/v1${path}`, headers, body && JSON.stringify(body));
  if (!expected.includes(status)) throw new Error(`${method} ${path}: ${status} ${content}`);
  return content.length > 0 ? JSON.parse(content) : undefined;
}

// The page of a pull request with all that it looks like in it: the browser needs no network.
async function standalone(address, theme, sheets) {
  const page = String((await ask('GET', address)).content).replace(/<script\b[^]*?<\/script>/g, '').replace(/<img\b[^>]*>/g, '');
  let styles = sheets && sheets.all + sheets[theme];
  if (!styles) {
    const paths = [...page.matchAll(/<link rel="stylesheet" href="([^"]+)"/g)].map(([, path]) => path).filter(path => !path.includes('theme-'));
    const answers = await Promise.all([...paths, `/assets/css/theme-gitea-${theme}.css`].map(path => ask('GET', new URL(path, url))));
    if (answers.some(answer => answer.status !== 200)) throw new Error('the server has no style sheets: set GITEA_SOURCE');
    styles = answers.map(answer => answer.content).join('\n');
  }
  return page
    .replace(/<(link|meta http-equiv)\b[^>]*>/g, '')
    .replace(/data-theme="[^"]*"/, `data-theme="gitea-${theme}"`)
    .replace('</head>', () => `<style>${styles}</style></head>`);
}

// A pull request with the comments, which everybody may read.
async function makePullRequest() {
  await api('POST', '/orgs', { username: name, visibility: 'public' });
  await api('POST', `/orgs/${name}/repos`, { name: 'infra', auto_init: true, default_branch: 'main' });
  const content = Buffer.from('# a\n').toString('base64');
  await api('POST', `/repos/${name}/infra/contents/main.tf`, { content, branch: 'main', new_branch: 'change', message: 'Change' });
  const issue = await api('POST', `/repos/${name}/infra/issues`, { title: 'An issue that no comment refers to' });
  const pull = await api('POST', `/repos/${name}/infra/pulls`, { base: 'main', head: 'change', title: 'Change of teams' });
  const ids = [];
  for (const file of comments) {
    const body = readFileSync(file, 'utf8');
    ids.push((await api('POST', `/repos/${name}/infra/issues/${pull.number}/comments`, { body })).id);
  }
  const told = await api('GET', `/repos/${name}/infra/issues/${issue.number}/timeline`);
  if (told?.length > 0) throw new Error(`a comment refers to an issue: ${JSON.stringify(told)}`);
  return { page: `${url}/${name}/infra/pulls/${pull.number}`, ids };
}

async function takePictures({ page: address, ids }, sheets) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 1000, deviceScaleFactor: 1 });
    for (const theme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
      await page.setContent(await standalone(address, theme, sheets), { waitUntil: 'domcontentloaded' });
      for (const [i, id] of ids.entries()) {
        for (const opened of [false, true]) {
          const comment = await page.$(`#issuecomment-${id}`);
          if (!comment) throw new Error(`${address} does not show the comment ${id}`);
          const { wide, made, ...clip } = await comment.evaluate((element, opened) => {
            if (opened) for (const part of element.querySelectorAll('details')) part.open = true;
            const wide = [...element.querySelectorAll('.render-content')].some(e => e.scrollWidth > e.clientWidth);
            const made = element.querySelectorAll(':is(.mention, .ref-issue, .commit, .emoji, .render-content img)').length;
            const { x, y, width, height } = element.getBoundingClientRect();
            return { x: x + scrollX - 20, y: y + scrollY - 8, width: width + 40, height: height + 16, wide, made };
          }, opened);
          if (wide) throw new Error(`${comments[i]}: wider than the page`);
          if (made > 0) throw new Error(`${comments[i]}: Gitea made ${made} mentions, references or pictures of its text`);
          const file = `${basename(comments[i], '.md')}-${theme}${opened ? '-open' : ''}.png`;
          await page.screenshot({ path: join(out, file), clip, captureBeyondViewport: true });
          console.log(`${file}: ${Math.round(clip.height)} pixels high`);
        }
      }
    }
  } finally {
    await browser.close();
  }
}

mkdirSync(out, { recursive: true });
const sheets = await styleSheets(process.env.GITEA_SOURCE);
try {
  await takePictures(await makePullRequest(), sheets);
} finally {
  const gone = [204, 404];
  await api('DELETE', `/repos/${name}/infra`, undefined, gone);
  await api('DELETE', `/orgs/${name}`, undefined, gone);
}
