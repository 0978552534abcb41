/**
 * A process of its own that writes a recording, and is killed before its operation number `killAt`,
 * a write half done. Bundled and started by a test.
 */
import { watchOperations } from '../../support/file-operations.ts';
import { writeOutput } from '../../support/recording-output.ts';

const [path, what, force, killAt] = process.argv.slice(2);
let count = 0;
await watchOperations(({ half }) => {
  if (++count !== Number(killAt)) return;
  half();
  process.kill(process.pid, 'SIGKILL');
});
await writeOutput(path!, what!, force === 'force');
