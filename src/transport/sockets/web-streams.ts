import type { Readable, Writable } from 'node:stream';

const CLOSED = 'the connection was closed';

/**
 * A Node stream as a WHATWG one that takes one chunk ahead of its reader. (Those of Readable.toWeb
 * count chunks where they should count bytes, and take a gigabyte.)
 */
export function webReadable(stream: Readable): ReadableStream<Uint8Array> {
  let settled = false;
  // What has ended, or broken, or was cancelled, is closed after that.
  const settle = (act: () => void): void => {
    if (settled) return;
    settled = true;
    act();
  };
  return new ReadableStream(
    {
      start(controller) {
        // Of what has happened already, no event tells.
        if (stream.readableEnded) return settle(() => controller.close());
        if (stream.destroyed) return settle(() => controller.error(new Error(CLOSED)));
        stream.pause();
        stream.on('data', (chunk: Uint8Array) => {
          if (!settled) controller.enqueue(chunk);
          stream.pause();
        });
        stream.on('end', () => settle(() => controller.close()));
        stream.on('error', (error) => settle(() => controller.error(error)));
        stream.on('close', () => settle(() => controller.error(new Error(CLOSED))));
      },
      pull: () => void stream.resume(),
      cancel: () => settle(() => stream.destroy()),
    },
    { highWaterMark: 0 },
  );
}

/**
 * A Node stream as a WHATWG one whose writes resolve once the kernel has the bytes. (Those of
 * Writable.toWeb resolve sooner, when the rest still needs this thread's event loop, which a
 * channel blocks.)
 */
export function webWritable(stream: Writable): WritableStream<Uint8Array> {
  return new WritableStream({
    start(controller) {
      if (stream.destroyed || stream.writableEnded) return controller.error(new Error(CLOSED));
      stream.on('error', (error) => controller.error(error));
      stream.on('close', () => {
        if (!stream.writableFinished) controller.error(new Error(CLOSED));
      });
    },
    write: (chunk) =>
      new Promise((resolve, reject) => {
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
      }),
    close: () =>
      new Promise((resolve, reject) => {
        if (stream.destroyed) return reject(new Error(CLOSED));
        // Of a message of HTTP that is broken off, the end is never told.
        stream.once('close', () => reject(new Error(CLOSED)));
        stream.end(resolve);
      }),
    abort: () => void stream.destroy(),
  });
}
