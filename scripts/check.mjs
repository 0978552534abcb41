import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

// What has to hold before a commit: `npm run check`. Installs what is not installed yet, then
// checks format, lint, types and layout; a line for each with its time, and what it found.
// Ends with status 1 when one fails.

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', import.meta.url));
const bin = (name, ...args) => [join(ROOT, 'node_modules/.bin', name), ...args];
const script = (name, ...args) => [process.execPath, join(ROOT, 'scripts', name), ...args];

/** Each part's commands, one after the other. The tests' types need the library's, in build/. */
const PARTS = {
  layout: [script('layout.mjs')],
  format: [bin('biome', 'format', '.')],
  lint: [bin('biome', 'lint', '--error-on-warnings', '.')],
  types: [script('build.mjs', 'types'), bin('tsc', '-p', 'test')],
};

async function check(name, commands) {
  const start = performance.now();
  let found = '';
  for (const [file, ...args] of commands) {
    try {
      await run(file, args, { cwd: ROOT, maxBuffer: 1 << 26 });
    } catch (failure) {
      found = `${failure.stdout}${failure.stderr}` || `${failure}`;
      break;
    }
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`check: ${name} ${found === '' ? 'ok' : 'FAILED'} in ${seconds} s`);
  if (found !== '') {
    console.error(found);
    process.exitCode = 1;
  }
}

// Of the tests' peers only the runtimes' packages have types that are needed.
const [node, ...setUp] = script('setup.mjs', '.', 'scripts/api', 'test/peers/runtimes');
const setup = spawnSync(node, setUp, { cwd: ROOT, stdio: 'inherit' });
if (setup.status !== 0) process.exit(1);
await Promise.all(Object.entries(PARTS).map(([name, commands]) => check(name, commands)));
