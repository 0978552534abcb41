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

for (const name of process.argv.slice(2)) {
  const folder = join(ROOT, name);
  const stamp = join(folder, 'node_modules/.set-up');
  const digest = (file) =>
    createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex');
  const wanted = `${digest('package.json')} ${digest('package-lock.json')} ${process.version}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) continue;
  const { status, stdout, stderr } = spawnSync('npm', ARGS, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`);
    process.exit(1);
  }
  writeFileSync(
    stamp,
    `${digest('package.json')} ${digest('package-lock.json')} ${process.version}`,
  );
}
