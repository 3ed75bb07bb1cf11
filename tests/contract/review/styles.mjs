// Gitea's style sheets, made of its sources: for a server that was built without them.
import { join } from 'node:path';
import { build } from 'esbuild';
import postcss from 'postcss';
import tailwindcss from 'tailwindcss';

// Other packages' sheets are for what is in no comment, as the cropping of avatars.
const withoutPackages = {
  name: 'without-packages',
  setup(build) {
    build.onResolve({ filter: /^[a-z@].*\.css$/ }, ({ path }) => ({ path, namespace: 'empty' }));
    build.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: '', loader: 'css' }));
  },
};

// Gives the sheet of all pages and those of the themes, or nothing without sources.
export async function styleSheets(source) {
  if (!source) return undefined;
  const bundle = async file => {
    const made = await build({
      entryPoints: [join(source, 'web_src/css', file)],
      bundle: true, write: false, logLevel: 'silent', legalComments: 'none', plugins: [withoutPackages],
      loader: { '.svg': 'dataurl' }, external: ['*.png', '*.woff2', '*.woff'],
    });
    return made.outputFiles[0].text;
  };
  // as Gitea's tailwind.config.ts has it, with its own sheets' variables as the colours
  const light = await bundle('themes/theme-gitea-light.css');
  const dark = await bundle('themes/theme-gitea-dark.css');
  const colours = [...new Set(`${light}${dark}`.match(/--color-[a-z0-9-]+(?=:)/g))];
  const config = {
    prefix: 'tw-', important: true, corePlugins: { preflight: false },
    content: [join(source, 'templates/{base,repo,shared}/**/*.tmpl')],
    theme: { extend: { colors: Object.fromEntries(colours.map(c => [c.slice(8), `var(${c})`])) } },
  };
  const made = await postcss([tailwindcss(config)]).process(await bundle('index.css'), { from: undefined });
  return { all: made.css, light, dark };
}
