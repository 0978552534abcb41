import { closeSync, fstatSync, openSync } from 'node:fs';
import { MultifdError } from '../../errors.ts';
import { readAt } from '../channel/positioned.ts';
import type { OpenBlock } from './sources.ts';

/** A file as a block. Throws MultifdError ERR_IO. */
export function fileBlock(id: string, path: string): OpenBlock {
  try {
    const fd = openSync(path, 'r');
    return openFileBlock({ id, fd, position: 0, byteLength: fstatSync(fd).size, close: () => closeSync(fd) });
  } catch (cause) {
    throw new MultifdError('ERR_IO', `can't read ${path}: ${(cause as Error).message}`, { cause });
  }
}

export interface FileRegion {
  id: string;
  fd: number;
  /** Where block offset 0 is in the file. */
  position: number;
  byteLength: number;
  bitmap?: Uint8Array;
  close(): void;
}

/** A block that is a region of an open file. */
export function openFileBlock({ id, fd, position, byteLength, bitmap, close }: FileRegion): OpenBlock {
  return {
    id,
    byteLength,
    descriptor: { kind: 'file', fd, position, length: byteLength, sparse: bitmap !== undefined },
    ...(bitmap && { bitmap }),
    read(offset, into) {
      const inside = Math.max(0, Math.min(into.length, byteLength - offset));
      readAt(fd, into.subarray(0, inside), position + offset);
      into.fill(0, inside);
    },
    close,
  };
}
