import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { REACTOR_BYTES } from '../conformance/reactor.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const ENTRIES = fileURLToPath(new URL('entries/', import.meta.url));
/** What was installed of the last tarball, by its digest. */
const KEPT = join(ROOT, 'node_modules/.cache/multifd-installed');

/**
 * The package as it is published: packed, and installed in an empty folder; with what the runtimes
 * run beside it.
 */
export interface Installed {
  folder: string;
  tarball: string;
  /** The installed package's folder. */
  package: string;
  remove(): void;
}

/**
 * Packs it, and copies what npm makes of the tarball: that is kept, since several files of tests
 * begin with it.
 */
export function install(): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'multifd-installed-'));
  const [{ filename, shasum }] = JSON.parse(
    npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT),
  ) as [{ filename: string; shasum: string }];
  const tarball = join(folder, filename);
  const kept = join(KEPT, shasum);
  if (!existsSync(kept)) keep(tarball, kept);
  cpSync(kept, folder, { recursive: true, verbatimSymlinks: true });
  return {
    folder,
    tarball,
    package: join(folder, 'node_modules/multifd'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function npm(args: string[], cwd: string): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Installs `tarball` in a folder of its own, which becomes `kept` and takes the last one's place. */
function keep(tarball: string, kept: string): void {
  mkdirSync(KEPT, { recursive: true });
  for (const last of readdirSync(KEPT)) {
    if (!last.startsWith('new-')) rmSync(join(KEPT, last), { recursive: true, force: true });
  }
  const folder = mkdtempSync(join(KEPT, 'new-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  npm(
    [
      'install',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--loglevel=error',
      tarball,
    ],
    folder,
  );
  try {
    renameSync(folder, kept);
  } catch (error) {
    // Another file of tests was faster.
    rmSync(folder, { recursive: true, force: true });
    if (!existsSync(kept)) throw error;
  }
}

/** For Node, Deno and Bun, which find the package by its name. */
export async function bundleForProcess(installed: Installed): Promise<void> {
  await bundle(['process.ts', 'channel.ts', 'ends.ts', 'imports.ts'], installed, {
    platform: 'node',
    external: ['multifd'],
  });
}

/**
 * For workerd: one module, as the tools of its users make it, with the .wasm files beside it.
 * @returns the names of all of them.
 */
export async function bundleForWorkerd(installed: Installed): Promise<string[]> {
  writeFileSync(join(installed.folder, 'reactor.wasm'), REACTOR_BYTES);
  const outputs = await bundle(['worker.ts'], installed, {
    platform: 'neutral',
    conditions: ['workerd', 'worker', 'browser'],
    loader: { '.wasm': 'copy' },
    plugins: [
      packageFrom(installed),
      {
        name: 'reactor',
        setup: ({ onResolve }) =>
          onResolve({ filter: /reactor\.wasm$/ }, ({ path }) => ({ path, external: true })),
      },
    ],
  });
  return [...outputs, 'reactor.wasm'];
}

/** For a page, which loads the package's own files. */
export async function bundleForPage(installed: Installed): Promise<void> {
  await bundle(['page.ts', 'channel.ts', 'opfs-worker.ts'], installed, {
    platform: 'browser',
    outdir: join(installed.folder, 'page'),
    plugins: [urlsOf(installed)],
  });
}

async function bundle(
  entries: string[],
  { folder }: Installed,
  options: Parameters<typeof build>[0],
): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: entries.map((entry) => ENTRIES + entry),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    outdir: folder,
    metafile: true,
    absWorkingDir: folder,
    logLevel: 'warning',
    ...options,
  });
  return Object.keys(metafile!.outputs);
}

/** Takes the package from where it is installed, by its exports. */
function packageFrom({ folder }: Installed): Plugin {
  return {
    name: 'installed package',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^multifd(\/|$)/ }, ({ path, kind, pluginData }) =>
        pluginData === 'again'
          ? undefined
          : resolve(path, { kind, resolveDir: folder, pluginData: 'again' }),
      );
    },
  };
}

type Exports = Record<string, { browser?: string; default?: string }>;

/** Leaves the package's modules where they are, at the addresses that a page finds them at. */
function urlsOf(installed: Installed): Plugin {
  const { exports } = JSON.parse(readFileSync(join(installed.package, 'package.json'), 'utf8')) as {
    exports: Exports;
  };
  return {
    name: 'addresses of the package',
    setup({ onResolve }) {
      onResolve({ filter: /^multifd(\/|$)/ }, ({ path }) => {
        const { browser, default: other } = exports[path.replace('multifd', '.')] ?? {};
        const file = browser ?? other;
        return file === undefined
          ? { errors: [{ text: `${path} has no entry for browsers` }] }
          : { path: file.replace('.', '/node_modules/multifd'), external: true };
      });
    },
  };
}
