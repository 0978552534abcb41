import { MultifdError } from '../errors.ts';
import type { RandomAccess } from './random-access.ts';

/** Random access to a Blob; a File of a browser's picker is one too. */
export function blobAccess(blob: Blob): RandomAccess {
  const name = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'the Blob';
  return {
    name,
    size: blob.size,
    async read(offset, into) {
      try {
        const bytes = new Uint8Array(await blob.slice(offset, offset + into.length).arrayBuffer());
        into.set(bytes);
        return bytes.length;
      } catch (cause) {
        // Browsers refuse to go on with a file that has changed since it was picked.
        throw new MultifdError('ERR_IO', `cannot read ${name}: ${(cause as Error).message}`, { offset, cause });
      }
    },
    async close() {},
  };
}
