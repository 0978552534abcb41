// Loaded before a command: every read of a file is one that never returns, as of a file server that is gone. A thread is in it for ever.
import promises from 'node:fs/promises';

const handle = await promises.open('/dev/null');
const prototype = Object.getPrototypeOf(handle);
await handle.close();
prototype.read = () => {
  process.stderr.write('a read is stuck\n');
  // Nobody writes to that pipe.
  return promises.open(process.env.MULTIFD_TEST_PIPE);
};
