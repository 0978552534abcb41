import { closeSync, openSync, readSync } from 'node:fs';
import { MIB } from './order.ts';

/** Fills a RAM with what is in a file. */
export function readRam(path: string, ram: Uint8Array): void {
  eachPiece(path, ram.length, (piece, at) => ram.set(piece, at));
}

/** Whether a RAM is what is in a file. */
export function isRam(path: string, ram: Uint8Array): boolean {
  let same = true;
  eachPiece(path, ram.length, (piece, at) => (same &&= piece.equals(ram.subarray(at, at + MIB))));
  return same;
}

function eachPiece(path: string, bytes: number, take: (piece: Buffer, at: number) => void): void {
  const file = openSync(path, 'r');
  try {
    const piece = Buffer.alloc(MIB);
    for (let at = 0; at < bytes; at += MIB) {
      readSync(file, piece, 0, MIB, at);
      take(piece, at);
    }
  } finally {
    closeSync(file);
  }
}
