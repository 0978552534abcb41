import type { Writable } from 'node:stream';

/**
 * A Node stream as a WHATWG one whose writes resolve once the kernel has the bytes. (Those of Writable.toWeb resolve sooner, when the rest still needs this
 * thread's event loop, which a channel blocks.)
 */
export function webWritable(stream: Writable): WritableStream<Uint8Array> {
  return new WritableStream({
    start(controller) {
      stream.on('error', (error) => controller.error(error));
      stream.on('close', () => {
        if (!stream.writableFinished) controller.error(new Error('the connection was closed'));
      });
    },
    write: (chunk) =>
      new Promise((resolve, reject) => {
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
      }),
    close: () => new Promise((resolve) => void stream.end(resolve)),
    abort: () => void stream.destroy(),
  });
}
