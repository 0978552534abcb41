import { execFile } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Installed } from '../runtimes/installed.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MODULES = join(HERE, 'node_modules');
const GUIDE = readFileSync(new URL('../../../docs/bundlers.md', import.meta.url), 'utf8');

export type Kind = 'page' | 'node' | 'worker';

/** One way of the guide: its files, and its commands. */
interface Recipe {
  files: ReadonlyMap<string, string>;
  commands: readonly string[];
}

/** What docs/bundlers.md says below a heading. */
function recipeOf(heading: string): Recipe {
  const [, section] = GUIDE.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`docs/bundlers.md has no section ${heading}`);
  const files = new Map<string, string>();
  const commands: string[] = [];
  const [own] = section.split('\n## ');
  for (const [, language, name, text] of own!.matchAll(/```(\w+) ?(\S*)\n([\s\S]*?)```/g)) {
    if (language === 'sh') commands.push(...text!.trim().split('\n'));
    else files.set(name!, text!);
  }
  if (commands.length === 0) throw new Error(`docs/bundlers.md has no command for ${heading}`);
  return { files, commands };
}

/**
 * Bundles an app as the guide says, in the folder that has the installed package.
 * @param name the folder's name under the installed one's.
 * @param vite which of the installed versions `vite` is.
 * @param without what is left out of the commands.
 * @returns the folder with the bundle.
 */
export async function bundleBy(
  heading: string,
  {
    installed,
    kind,
    name,
    vite = 'vite8',
    without,
  }: {
    installed: Installed;
    kind: Kind;
    name: string;
    vite?: string | undefined;
    without?: RegExp;
  },
): Promise<string> {
  const folder = join(installed.folder, name);
  mkdirSync(folder);
  copyFileSync(join(HERE, `app/${kind}.js`), join(folder, 'app.js'));
  copyFileSync(join(HERE, 'app/move.js'), join(folder, 'move.js'));
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><title>app</title><script type="module" src="./app.js"></script>',
  );
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies: { multifd: '*' } }),
  );
  linkModules(folder, vite);
  const { files, commands } = recipeOf(heading);
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  const { NODE_OPTIONS: _, ...env } = process.env;
  for (const command of commands) {
    await promisify(execFile)(
      'sh',
      ['-c', command.replace(/^npx /, '').replace(without ?? '', '')],
      {
        cwd: folder,
        env: {
          ...env,
          PATH: [join(folder, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
          // Neither asks the network for anything.
          WRANGLER_SEND_METRICS: 'false',
          NODE_ENV: 'production',
        },
      },
    );
  }
  return join(folder, 'dist');
}

/** The bundlers; the package itself is found in the folder above. */
function linkModules(folder: string, vite: string): void {
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  const link = (from: string, name: string): void => {
    const to = join(modules, name);
    if (!existsSync(to)) symlinkSync(from, to);
  };
  mkdirSync(join(modules, '.bin'));
  for (const name of readdirSync(join(MODULES, '.bin'))) {
    const file = name === 'vite' ? join(vite, 'bin/vite.js') : join('.bin', name);
    link(join(MODULES, file), join('.bin', name));
  }
  link(join(MODULES, vite), 'vite');
  for (const name of readdirSync(MODULES)) {
    if (!name.startsWith('.')) link(join(MODULES, name), name);
  }
}
