/**
 * What no command does, as a process of its own: `snapshot IMAGE`, twice (`snapshot-over`: whatever
 * is there), or
 * `finish IMAGE`. Ends as a command would.
 */
import { finishImageUpdate, Guest, MultifdError } from 'multifd';
import { before, after } from './memory.ts';

const [verb, path] = process.argv.slice(2) as [string, string];
try {
  if (verb === 'finish') await finishImageUpdate(path);
  else {
    const memory = before();
    const guest = new Guest({ blocks: [{ id: 'ram', memory }], stop() {}, resume() {} });
    await guest.snapshot({ path, timeout: 5000, force: verb === 'snapshot-over' });
    memory.set(after());
    await guest.snapshot({ path, timeout: 5000 });
  }
} catch (thrown) {
  if (!(thrown instanceof MultifdError)) throw thrown;
  process.stderr.write(`multifd: ${thrown.code}: ${thrown.message}\n`);
  process.exitCode = 1;
}
