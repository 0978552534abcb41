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

// Builds what is not current: `node scripts/build.mjs [--all] [TARGET ...]`.
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

/** What the library's entries are, by their names in build/. */
const ENTRIES = {
  live: 'src/live/index.ts',
  image: 'src/image/portable.ts',
  core: 'src/core/index.ts',
  engine: 'src/engine/index.ts',
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

const common = {
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  sourcemap: true,
  logLevel: 'warning',
};
const node = {
  ...common,
  platform: 'node',
  packages: 'external',
  keepNames: true,
  loader: { '.wasm': 'binary' },
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

const bundle = (options) => (out) =>
  build({
    absWorkingDir: ROOT,
    plugins: [compiledCore(out)],
    ...options,
    outdir: join(out, options.outdir ?? ''),
  });
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
    inputs: LIBRARY,
    build: (out) =>
      run(join(BIN, 'tsc'), ['-p', 'tsconfig.json', '--outDir', join(out, 'types')], { cwd: ROOT }),
  },
  node: {
    inputs: [...LIBRARY, 'examples'],
    after: ['core'],
    build: bundle({
      ...node,
      entryPoints: {
        index: 'src/entry/node.ts',
        ...ENTRIES,
        multifd: 'src/cli/main.ts',
        loopback: 'examples/loopback.ts',
        'examples/sqlite': 'examples/sqlite/main.ts',
        'examples/sqlite-target': 'examples/sqlite/target.ts',
        'examples/threads': 'examples/threads/main.ts',
        'examples/threads-target': 'examples/threads/target.ts',
        'examples/threads-worker': 'examples/threads/worker.ts',
        'examples/browser-server': 'examples/browser/serve.ts',
        'examples/sqlite-server': 'examples/sqlite/serve.ts',
      },
    }),
  },
  workers: {
    inputs: LIBRARY,
    after: ['core'],
    // One bundle each: a thread loads one file and no chunks that it does not need.
    build: (out) =>
      Promise.all(
        Object.entries(WORKERS).map(([name, file]) =>
          bundle({ ...node, entryPoints: { [name]: file } })(out),
        ),
      ),
  },
  browser: {
    inputs: LIBRARY,
    after: ['core'],
    build: bundle({
      ...common,
      platform: 'browser',
      loader: { '.wasm': 'binary' },
      outdir: 'browser',
      entryPoints: { index: 'src/entry/browser.ts', ...ENTRIES, ...PAGE_CODECS, ...WORKERS },
    }),
  },
  workerd: {
    inputs: LIBRARY,
    after: ['core'],
    build: bundle({
      ...common,
      platform: 'browser',
      conditions: ['workerd'],
      loader: { '.wasm': 'copy' },
      assetNames: '[name]',
      outdir: 'workerd',
      entryPoints: { index: 'src/entry/workerd.ts', ...ENTRIES, ...PAGE_CODECS },
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
    after: ['workerd', 'types'],
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
  const { values, positionals } = parseArgs({
    options: { all: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !Object.hasOwn(TARGETS, name));
  if (unknown !== undefined) {
    throw new Error(`no target ${unknown}: there are ${Object.keys(TARGETS).join(', ')}`);
  }
  const wanted = Object.entries(TARGETS)
    .filter(([name, { asked }]) => (positionals.length === 0 ? !asked : positionals.includes(name)))
    .map(([name]) => name);
  const began = performance.now();
  const manifest = values.all ? {} : readManifest();
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
    if (first && positionals.length === 0) removeStrays(manifest);
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
