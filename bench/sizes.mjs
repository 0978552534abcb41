import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

// What the built entries weigh, minified and gzipped as a bundler would: `node bench/sizes.mjs`
// prints it, `write` also keeps it in docs/sizes.md.

const ENTRIES = {
  'workerd: multifd, when a worker starts': { from: 'workerd/index.js' },
  'workerd: … with what the first receive() loads': {
    from: 'workerd/index.js',
    with: ['incoming'],
  },
  'workerd: … with what the first send() loads': {
    from: 'workerd/index.js',
    with: ['outgoing'],
  },
  'workerd: … with both': {
    from: 'workerd/index.js',
    with: ['incoming', 'outgoing'],
  },
  'workerd: multifd/live': { from: 'workerd/live.js' },
  'workerd: multifd/image': { from: 'workerd/image.js' },
  'browser: multifd': { from: 'browser/index.js' },
  'browser: multifd/core, both builds inlined': { from: 'browser/core.js' },
};
const CORES = ['core.shared.wasm', 'core.plain.wasm'];

const kilobytes = (bytes) => (bytes / 1000).toFixed(1);
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;
const at = (path) => new URL(`../build/${path}`, import.meta.url).pathname;

/** What an entry needs at once, and of what it loads later the named modules, as one file. */
async function weigh({ from, with: later = [] }) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export * from './${from}';`, resolveDir: at('') },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    loader: { '.wasm': 'copy' },
    assetNames: '[name]',
    metafile: true,
    outdir: '/',
    absWorkingDir: at(''),
    logLevel: 'error',
  });
  const text = new Map(outputFiles.map((file) => [file.path, file.contents]));
  const outputs = new Map(
    Object.entries(metafile.outputs).map(([name, output]) => [
      `/${name.replace(/^(\.\.\/)+/, '')}`,
      output,
    ]),
  );
  const needed = new Set();
  const need = (name) => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const { path, kind } of outputs.get(name)?.imports ?? []) {
      const target = `/${path.replace(/^(\.\.\/)+/, '')}`;
      if (
        outputs.has(target) &&
        (kind === 'import-statement' || later.some((part) => isOf(outputs.get(target), part)))
      )
        need(target);
    }
  };
  need([...outputs].find(([, { entryPoint }]) => entryPoint === '<stdin>')[0]);
  const script = Buffer.concat(
    [...needed].filter((name) => name.endsWith('.js')).map((name) => text.get(name)),
  );
  const wasm = [...needed].filter((name) => name.endsWith('.wasm')).map((name) => text.get(name));
  return {
    minified: script.length + wasm.reduce((sum, { length }) => sum + length, 0),
    gzipped: gzipped(script) + wasm.reduce((sum, bytes) => sum + gzipped(bytes), 0),
  };
}

/** What is imported late is built into a chunk with its name. */
const isOf = ({ inputs }, part) =>
  Object.keys(inputs).some((input) => new RegExp(`/${part}-[A-Z0-9]+\\.js$`).test(input));

const rows = [];
for (const [name, entry] of Object.entries(ENTRIES)) {
  const { minified, gzipped: small } = await weigh(entry);
  rows.push([name, kilobytes(minified), kilobytes(small)]);
}
for (const name of CORES) {
  const bytes = readFileSync(at(name));
  rows.push([name, kilobytes(bytes.length), kilobytes(gzipped(bytes))]);
}

const table = [
  '| | minified, kB | gzipped, kB |',
  '|---|---:|---:|',
  ...rows.map((row) => `| ${row.join(' | ')} |`),
].join('\n');
console.log(table);
if (process.argv[2] === 'write') {
  const page = new URL('../docs/sizes.md', import.meta.url);
  writeFileSync(
    page,
    `# Sizes\n\nWhat an entry weighs as a bundler would ship it, codecs not included; \`npm ` +
      `run docs:sizes\` writes this table.\n\n${table}\n`,
  );
}
