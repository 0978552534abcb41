// Loaded before a command: no read of a file returns, as of a file server that is gone. A thread is
// in it for ever.
import promises from 'node:fs/promises';

const handle = await promises.open('/dev/null');
const prototype = Object.getPrototypeOf(handle);
await handle.close();
prototype.read = () => {
  process.stderr.write('a read is stuck\n');
  // Nobody writes to that pipe.
  return promises.open(process.env.MULTIFD_TEST_PIPE);
};
