/** What is put into an image that grows: as much for each GiB, in pieces that lie apart. */
import { randomFillSync } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

const PIECE = 64 * 1024;
/** One piece of content, then so many times its length of nothing. */
const EVERY = 16;

/** A sparse file, a sixteenth of which is data. */
export function writeSparse(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  try {
    ftruncateSync(file, bytes);
    for (let at = 0; at < bytes; at += EVERY * PIECE)
      writeSync(file, randomFillSync(new Uint8Array(PIECE)), 0, PIECE, at);
  } finally {
    closeSync(file);
  }
}
