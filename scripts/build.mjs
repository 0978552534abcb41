import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';

// Builds what is not current: `node scripts/build.mjs [--all] [TARGET ...]`. With --package it is
// all that is packed, anew, without source maps and without what an older build has left.
//
// A target is current when its inputs' digest is the one that its last build left in
// build/.manifest.json. A stale one is built into a folder beside build/, and its files are then
// renamed into build/ one by one: each file there is the old one or the new one, at any time.
// Chunks have their digest in their names. Those of the build before stay for one more build, so
// that a command that runs meanwhile still finds what it loads late.

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', import.meta.url));
const BUILD = join(ROOT, 'build');
const MANIFEST = join(BUILD, '.manifest.json');
const BIN = join(ROOT, 'node_modules/.bin');

const { values: OPTIONS, positionals: NAMED } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    package: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const PACKED = ['core', 'types', 'node', 'workers', 'browser', 'workerd'];

/** What the library's entries are, by their names in build/. */
const ENTRIES = {
  live: 'src/live/index.ts',
  image: 'src/image/portable.ts',
  core: 'src/core/index.ts',
  engine: 'src/engine/index.ts',
};
/** Programs that show the library; they are not packed. */
const EXAMPLES = {
  loopback: 'examples/loopback.ts',
  'examples/sqlite': 'examples/sqlite/main.ts',
  'examples/sqlite-target': 'examples/sqlite/target.ts',
  'examples/threads': 'examples/threads/main.ts',
  'examples/threads-target': 'examples/threads/target.ts',
  'examples/threads-worker': 'examples/threads/worker.ts',
  'examples/browser-server': 'examples/browser/serve.ts',
  'examples/sqlite-server': 'examples/sqlite/serve.ts',
};
const CHANNEL_WORKERS = {
  'send-worker': 'src/channel/workers/send-worker.ts',
  'receive-worker': 'src/channel/workers/receive-worker.ts',
  'copy-worker': 'src/channel/workers/copy-worker.ts',
};
const WORKERS = { ...CHANNEL_WORKERS, 'scan-worker': 'src/live/scan/worker.ts' };
/** Each codec for pages and workerd is a module of its own, loaded by who uses it. */
const CODECS = 'src/compression/codecs';
const PAGE_CODECS = Object.fromEntries(
  readdirSync(join(ROOT, CODECS))
    .filter((name) => name.endsWith('.web.ts'))
    .map((name) => [`codecs/${name.slice(0, -'.web.ts'.length)}`, `${CODECS}/${name}`]),
);

/** As small as it is shipped: what is packed has no source maps. */
const common = {
  bundle: true,
  minify: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  sourcemap: !OPTIONS.package,
  logLevel: 'warning',
};
const node = {
  ...common,
  platform: 'node',
  packages: 'external',
  keepNames: true,
  loader: { '.wasm': 'binary' },
};
const browser = {
  ...common,
  platform: 'browser',
  // A package that looks for Node's would have Parcel put one into the bundle.
  define: { Buffer: 'undefined' },
  loader: { '.wasm': 'binary' },
  outdir: 'browser',
};
const page = {
  ...common,
  platform: 'browser',
  keepNames: true,
  external: ['/multifd/*'],
  loader: { '.html': 'copy' },
};

/** Modules import the compiled core from build/; while it is built it is in the folder beside. */
const compiledCore = (out) => ({
  name: 'compiled-core',
  setup(plugins) {
    plugins.onResolve({ filter: /\/build\/core\.(plain|shared)\.wasm$/ }, ({ path }) => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      return { path: [join(out, name), join(BUILD, name)].find(existsSync) };
    });
  },
});

/**
 * In a page's worker a codec stays a file of its own, named as bundlers know it: an asset. An
 * import of the usual kind would make chunks of the worker, and Vite's default can't have those.
 */
const CODECS_ASIDE = {
  name: 'codecs-aside',
  setup(plugins) {
    plugins.onResolve({ filter: /^#codecs\// }, ({ path }) => ({ path, namespace: 'aside' }));
    plugins.onLoad({ filter: /.*/, namespace: 'aside' }, ({ path }) => {
      const name = JSON.stringify(path.slice('#codecs/'.length));
      const file = JSON.stringify(`./${path.slice(1)}.js`);
      const contents =
        `import { aside } from ${JSON.stringify(`./${CODECS}/aside.ts`)};\n` +
        `export const codec = aside(${name}, () => import(new URL(${file}, import.meta.url).href));\n`;
      return { contents, resolveDir: ROOT };
    });
  },
};

/**
 * The packages that a thread of Node's uses seldom, of those its file does not hold: found when
 * they are used. So a bundle that has the file as it is runs without them until then.
 */
const SELDOM = {
  name: 'seldom-used',
  setup(plugins) {
    const filter = /^(?:ws|@hpcc-js\/wasm-zstd|zstddec\/stream)$/;
    plugins.onResolve({ filter }, ({ path, namespace }) =>
      namespace === 'seldom' ? { path, external: true } : { path, namespace: 'seldom' },
    );
    plugins.onLoad({ filter: /.*/, namespace: 'seldom' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => name !== 'default');
      const contents =
        `const { ${names.join(', ')} } = await import(${JSON.stringify(path)});\n` +
        `export { ${names.join(', ')} };\n`;
      return { contents, resolveDir: ROOT };
    });
  },
};

/** That bundlers leave an import alone is said by comments, which esbuild drops. */
function leaveAlone(file) {
  const text = readFileSync(file, 'utf8');
  const marked = text.replaceAll(
    'import(new URL(',
    'import(/* webpackIgnore: true *//* @vite-ignore */new URL(',
  );
  writeFileSync(file, marked);
}

/** Elsewhere in a page, and in workerd, it is a module of its own, imported from its place. */
const codecsIn = (folder) => ({
  name: 'codecs-in',
  setup(plugins) {
    plugins.onResolve({ filter: /^#codecs\// }, ({ path }) => ({
      path: `${folder}/${path.slice(1)}.js`,
      external: true,
    }));
  },
});

/**
 * @param typedBy which declarations `index` has: Deno and JSR find an entry's types by its first
 *   comment. (All else finds them by the package's exports.)
 */
const bundle =
  ({ typedBy, plugins = [], ...options }) =>
  async (out) => {
    const outdir = join(out, options.outdir ?? '');
    await build({
      absWorkingDir: ROOT,
      ...options,
      outdir,
      plugins: [compiledCore(out), ...plugins],
    });
    if (typedBy === undefined) return;
    for (const name of ['index', ...Object.keys(ENTRIES)]) {
      const file = join(outdir, `${name}.js`);
      const types = relative(outdir, join(out, 'types', name === 'index' ? typedBy : name));
      const path = types.startsWith('.') ? types : `./${types}`;
      writeFileSync(file, `/* @ts-self-types="${path}.d.ts" */ ${readFileSync(file, 'utf8')}`);
    }
  };
const asc = (...args) => run(join(BIN, 'asc'), args, { cwd: ROOT });

/** Each file under these folders, and these files, make a target stale. */
const LIBRARY = ['src', 'assembly', 'package.json', 'package-lock.json', 'tsconfig.json'];

/** `after`: what has to be built before, in the same run. `asked`: built only when it is named. */
const TARGETS = {
  core: {
    inputs: ['assembly', 'src/core/packet-layout.ts', 'asconfig.json', 'package-lock.json'],
    build: (out) =>
      Promise.all(
        ['shared', 'plain'].map((target) =>
          asc(
            'assembly/index.ts',
            '--target',
            target,
            '--outFile',
            join(out, `core.${target}.wasm`),
          ),
        ),
      ),
  },
  types: {
    inputs: [...LIBRARY, 'scripts/api/types.mjs', 'scripts/api/package-lock.json'],
    asked: true,
    build: async (out) => {
      const { rollDeclarations } = await import('./api/types.mjs');
      const apart = join(out, 'apart');
      await run(join(BIN, 'tsc'), ['-p', 'tsconfig.json', '--outDir', apart], { cwd: ROOT });
      await rollDeclarations(apart, join(out, 'types'));
      rmSync(apart, { recursive: true });
    },
  },
  node: {
    inputs: [...LIBRARY, 'examples'],
    after: ['core'],
    build: bundle({
      ...node,
      typedBy: 'index',
      entryPoints: {
        index: 'src/entry/node.ts',
        ...ENTRIES,
        multifd: 'src/cli/main.ts',
        ...(OPTIONS.package ? {} : EXAMPLES),
      },
    }),
  },
  workers: {
    inputs: LIBRARY,
    after: ['core'],
    // One file each, without chunks: a thread loads nothing that it does not need, and a bundler
    // that takes the file for an asset has all of it.
    build: (out) =>
      Promise.all(
        Object.entries(WORKERS).flatMap(([name, file]) => {
          const entryPoints = { [name]: file };
          return [
            bundle({
              ...node,
              keepNames: false,
              splitting: false,
              packages: 'bundle',
              // Where a bundler copies it, no package.json may say that it is a module.
              outExtension: { '.js': '.mjs' },
              entryPoints,
              plugins: [SELDOM],
            })(out),
            bundle({ ...browser, splitting: false, entryPoints, plugins: [CODECS_ASIDE] })(
              out,
            ).then(() => leaveAlone(join(out, 'browser', `${name}.js`))),
          ];
        }),
      ),
  },
  browser: {
    inputs: LIBRARY,
    after: ['core'],
    build: (out) =>
      Promise.all([
        bundle({
          ...browser,
          typedBy: 'browser',
          entryPoints: { index: 'src/entry/browser.ts', ...ENTRIES },
          plugins: [codecsIn('.')],
        })(out),
        bundle({ ...browser, splitting: false, entryPoints: PAGE_CODECS })(out),
      ]),
  },
  workerd: {
    inputs: LIBRARY,
    after: ['core'],
    build: bundle({
      ...browser,
      conditions: ['workerd'],
      loader: { '.wasm': 'copy' },
      assetNames: '[name]',
      outdir: 'workerd',
      typedBy: 'workerd',
      entryPoints: { index: 'src/entry/workerd.ts', ...ENTRIES },
      plugins: [codecsIn('../browser')],
    }),
  },
  guest: {
    inputs: ['examples/threads', 'package-lock.json'],
    build: (out) =>
      asc(
        'examples/threads/guest.ts',
        '--config',
        'examples/threads/asconfig.json',
        '--outFile',
        join(out, 'examples/threads.wasm'),
      ),
  },
  pages: {
    inputs: ['examples', ...LIBRARY],
    build: (out) =>
      Promise.all([
        bundle({
          ...page,
          alias: { multifd: '/multifd/index.js', 'multifd/core': '/multifd/core.js' },
          outdir: 'examples/browser',
          entryPoints: {
            'page/main': 'examples/browser/page/main.ts',
            'page/reception-worker': 'examples/browser/page/reception-worker.ts',
            'page/bench/worker': 'examples/browser/page/bench/worker.ts',
            style: 'examples/browser/style.css',
            index: 'examples/browser/index.html',
          },
        })(out),
        bundle({
          ...page,
          alias: { multifd: '/multifd/index.js' },
          outdir: 'examples/sqlite-page',
          entryPoints: {
            main: 'examples/sqlite/page/main.ts',
            worker: 'examples/sqlite/page/worker.ts',
            style: 'examples/sqlite/page/style.css',
            index: 'examples/sqlite/page/index.html',
          },
        })(out),
      ]),
  },
  worker: {
    inputs: ['examples/worker', ...LIBRARY],
    after: ['workerd', 'browser'],
    // It takes the package as a user's would, from what has been built and put in its place.
    late: true,
    build: bundle({
      ...common,
      splitting: false,
      sourcemap: false,
      keepNames: true,
      conditions: ['workerd'],
      loader: { '.wasm': 'copy' },
      assetNames: '[name]',
      logOverride: { 'ignored-bare-import': 'silent' },
      outdir: 'examples/worker',
      entryPoints: ['examples/worker/worker.ts'],
    }),
  },
  bench: {
    inputs: ['bench', 'examples', ...LIBRARY],
    after: ['core'],
    asked: true,
    build: (out) =>
      Promise.all([
        bundle({
          ...node,
          sourcemap: false,
          keepNames: false,
          outdir: 'bench',
          entryPoints: Object.fromEntries(
            BENCH_PROCESSES.map((name) => [name, `bench/${name}.ts`]),
          ),
        })(out),
        bundle({
          ...common,
          splitting: false,
          sourcemap: false,
          external: ['core.wasm'],
          outdir: 'bench',
          entryPoints: {
            'core/run-page': 'bench/core/run-page.ts',
            'core/run-workerd': 'bench/core/run-workerd.ts',
          },
        })(out),
      ]),
  },
  faults: {
    inputs: ['test', ...LIBRARY],
    after: ['core'],
    asked: true,
    build: bundle({
      ...node,
      keepNames: false,
      // Not that of test/, whose paths are for types: the harness takes the library as it is built.
      tsconfig: 'tsconfig.json',
      outdir: 'faults',
      entryPoints: {
        main: 'test/system/faults/main.ts',
        worker: 'test/system/faults/worker.ts',
        preload: 'test/system/faults/files/preload.ts',
        child: 'test/system/faults/files/child.ts',
      },
    }),
  },
};

/** What the benches start as processes of their own. */
const BENCH_PROCESSES = [
  'live',
  'live/source',
  'live/target',
  'main',
  'zstd',
  'core/run-process',
  'core/run-scan',
  'migration/source',
  'migration/target',
  'files/process',
  'engine/run',
  'engine/engine-channel',
  'engine/engine-client',
  'engine/echo-worker',
  'engine/piscina-task',
  'engine/ring-worker',
];

function* filesUnder(path) {
  if (!existsSync(path)) return;
  const entries = readdirSync(path, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name === 'node_modules') continue;
    const whole = join(path, entry.name);
    if (entry.isDirectory()) yield* filesUnder(whole);
    else if (entry.isFile()) yield whole;
  }
}

/** Targets share most of their inputs: each file is read once. */
const digests = new Map();

function digestOfFile(file) {
  const known = digests.get(file) ?? createHash('sha256').update(readFileSync(file)).digest();
  digests.set(file, known);
  return known;
}

/** A digest of names and contents of what a target is made of, and of this script. */
function digestOf({ inputs }) {
  const hash = createHash('sha256').update(digestOfFile(fileURLToPath(import.meta.url)));
  hash.update(String(OPTIONS.package));
  for (const input of inputs) {
    const path = join(ROOT, input);
    for (const file of /\.\w+$/.test(input) ? [path] : filesUnder(path)) {
      hash.update(`\0${relative(ROOT, file)}\0`).update(digestOfFile(file));
    }
  }
  return hash.digest('hex');
}

function readManifest() {
  try {
    return JSON.parse(readFileSync(MANIFEST, 'utf8'));
  } catch {
    return {}; // there is none yet, or half of one: everything is built
  }
}

/** Renames `file` to `to`, which another build may have put there meanwhile. */
function put(file, to) {
  mkdirSync(dirname(to), { recursive: true });
  renameSync(file, to);
}

/** Moves what was built into build/, and removes what was of the build before the last. */
function install(staging, name, manifest, digest) {
  const files = [...filesUnder(staging)].map((file) => relative(staging, file));
  for (const file of files) put(join(staging, file), join(BUILD, file));
  const last = manifest[name];
  const kept = new Set([...files, ...(last?.files ?? [])]);
  const others = new Set(
    Object.entries(manifest).flatMap(([other, { files: theirs, before }]) =>
      other === name ? [] : [...theirs, ...before],
    ),
  );
  for (const file of last?.before ?? []) {
    if (!kept.has(file) && !others.has(file)) rmSync(join(BUILD, file), { force: true });
  }
  manifest[name] = { digest, files, before: last?.files ?? [] };
}

/** What is neither of a target nor of the build before it: left by an older way of building. */
function removeStrays(manifest) {
  const known = new Set(
    Object.values(manifest).flatMap(({ files, before }) => [...files, ...before]),
  );
  for (const file of [...filesUnder(BUILD)]) {
    if (file !== MANIFEST && !known.has(relative(BUILD, file))) rmSync(file, { force: true });
  }
}

async function main() {
  const unknown = NAMED.find((name) => !Object.hasOwn(TARGETS, name));
  if (unknown !== undefined) {
    throw new Error(`no target ${unknown}: there are ${Object.keys(TARGETS).join(', ')}`);
  }
  const asked = OPTIONS.package ? PACKED : NAMED;
  const wanted = Object.keys(TARGETS).filter((name) =>
    asked.length === 0 ? !TARGETS[name].asked : asked.includes(name),
  );
  const began = performance.now();
  const manifest = OPTIONS.all || OPTIONS.package ? {} : readManifest();
  const first = Object.keys(manifest).length === 0;
  const missing = ({ files }) => files.some((file) => !existsSync(join(BUILD, file)));
  const current = new Map(wanted.map((name) => [name, digestOf(TARGETS[name])]));
  const stale = wanted.filter((name) => {
    const last = manifest[name];
    return last?.digest !== current.get(name) || missing(last);
  });
  if (stale.length === 0) return console.log('build: current');

  const staging = join(ROOT, `.build-${process.pid}`);
  try {
    const building = new Map();
    const start = (name) => {
      const { after = [], late = false, build: make } = TARGETS[name];
      const out = join(staging, name);
      const work = async () => {
        await Promise.all(after.map((other) => building.get(other)));
        mkdirSync(out, { recursive: true });
        if (after.includes('core') && building.has('core')) {
          cpSync(join(staging, 'core'), out, { recursive: true });
        }
        if (late) for (const other of after) if (building.has(other)) installOnce(other);
        await make(out);
      };
      building.set(name, work());
    };
    const installed = new Set();
    const installOnce = (name) => {
      if (installed.has(name)) return;
      installed.add(name);
      if (name !== 'core' && TARGETS[name].after?.includes('core')) {
        for (const file of ['core.shared.wasm', 'core.plain.wasm']) {
          rmSync(join(staging, name, file), { force: true });
        }
      }
      install(join(staging, name), name, manifest, current.get(name));
    };
    for (const name of stale) start(name);
    // All of them, also if one fails: what is still at work would bring the folder back.
    const ends = await Promise.allSettled(building.values());
    for (const { reason } of ends) if (reason !== undefined) throw reason;
    for (const name of stale) installOnce(name);
    if (first && NAMED.length === 0) removeStrays(manifest);
    writeFileSync(`${MANIFEST}.new`, JSON.stringify(manifest));
    renameSync(`${MANIFEST}.new`, MANIFEST);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`build: ${stale.join(', ')} in ${seconds} s`);
}

try {
  await main();
} catch (error) {
  console.error(error.stdout || error.stderr ? `${error.stdout}${error.stderr}` : error.message);
  process.exitCode = 1;
}
