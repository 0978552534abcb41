import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Installs what is not installed yet, and says nothing unless that fails:
// `node scripts/setup.mjs FOLDER ...`. A folder is current when its package.json and lock file are
// those of its last set-up.

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const ARGS = ['install', '--no-audit', '--no-fund', '--loglevel=error'];

/** What an installation depends on. */
function stateOf(folder) {
  const hash = createHash('sha256').update(process.version);
  for (const name of ['package.json', 'package-lock.json']) {
    hash.update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex');
}

for (const name of process.argv.slice(2)) {
  const folder = join(ROOT, name);
  const stamp = join(folder, 'node_modules/.set-up');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === stateOf(folder)) continue;
  const { status, stdout, stderr } = spawnSync('npm', ARGS, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`);
    process.exit(1);
  }
  writeFileSync(stamp, stateOf(folder)); // npm may have written the lock file
}
