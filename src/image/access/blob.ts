import { MultifdError } from '../../util/errors.ts';
import type { RandomAccess } from '../../files/random-access.ts';

/** Random access to a Blob; a File of a browser's picker is one too. */
export function blobAccess(blob: Blob): RandomAccess {
  const name = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'the Blob';
  // A Blob of Bun's is read from its file at each read, and has that file's time of now.
  const opened = lastModified(blob);
  return {
    name,
    size: blob.size,
    async read(offset, into) {
      try {
        const bytes = new Uint8Array(await blob.slice(offset, offset + into.length).arrayBuffer());
        const wanted = Math.max(0, Math.min(into.length, blob.size - offset));
        if (bytes.length < wanted) throw new Error('it has become shorter since it was given');
        into.set(bytes);
        return bytes.length;
      } catch (cause) {
        // Browsers refuse to go on with a file that has changed since it was picked.
        throw new MultifdError('ERR_IO', `cannot read ${name}: ${(cause as Error).message}`, {
          offset,
          cause,
        });
      }
    },
    async verify() {
      if (lastModified(blob) === opened) return;
      const what = `${name} has changed since it was opened`;
      throw new MultifdError('ERR_IO', `${what}; try again once nobody writes to it`);
    },
    async close() {},
  };
}

function lastModified(blob: Blob): unknown {
  return 'lastModified' in blob ? blob.lastModified : undefined;
}
