import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../lib/tools.ts';
import { MIB } from './order.ts';

export const CONTENTS = ['incompressible', '70 % zero', 'text'] as const;
export type Content = (typeof CONTENTS)[number];

const PAGE = 4096;
const ZERO_SHARE = 0.7;
/** Pages of one kind behind each other, at the most. */
const LONGEST_RUN = 64;
/** Enough that no codec's window holds it. */
const TEXT_BYTES = 32 * MIB;

/** Writes a RAM's content to a file. */
export function writeContent(path: string, bytes: number, content: Content): void {
  writePieces(path, bytes, PIECES[content]());
}

/** A RAM that nothing has come to yet, but whose every page has been touched. */
export function writeZeros(path: string, bytes: number): void {
  const zeros = new Uint8Array(MIB);
  writePieces(path, bytes, () => zeros);
}

function writePieces(path: string, bytes: number, piece: (at: number) => Uint8Array): void {
  const file = openSync(path, 'w');
  try {
    for (let at = 0; at < bytes; at += MIB) writeSync(file, piece(at));
  } finally {
    closeSync(file);
  }
}

/** For each kind, what gives its next MiB. */
const PIECES: Record<Content, () => (at: number) => Uint8Array> = {
  incompressible: () => () => randomFillSync(new Uint8Array(MIB)),
  '70 % zero': () => {
    let [left, zero] = [0, false];
    return () => {
      const piece = randomFillSync(new Uint8Array(MIB));
      for (let page = 0; page < MIB / PAGE; page++) {
        if (left === 0) {
          left = 1 + Math.floor(Math.random() * LONGEST_RUN);
          zero = Math.random() < ZERO_SHARE;
        }
        left--;
        if (zero) piece.fill(0, page * PAGE, (page + 1) * PAGE);
      }
      return piece;
    };
  },
  text: () => {
    const text = someText();
    return (at) => text.subarray(at % (TEXT_BYTES - MIB), (at % (TEXT_BYTES - MIB)) + MIB);
  },
};

/** Source text and documents that lie about here, each once, until there is enough. */
function someText(): Uint8Array {
  const text = new Uint8Array(TEXT_BYTES);
  let filled = 0;
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (filled === TEXT_BYTES) return;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (/\.(js|ts|mjs|cjs|md|json|c|h)$/.test(entry.name)) {
        const bytes = readFileSync(path).subarray(0, TEXT_BYTES - filled);
        text.set(bytes, filled);
        filled += bytes.length;
      }
    }
  };
  walk(fileURLToPath(new URL('node_modules', ROOT)));
  if (filled === 0) throw new Error('there is no text here');
  for (; filled < TEXT_BYTES; filled = Math.min(TEXT_BYTES, 2 * filled))
    text.copyWithin(filled, 0, filled);
  return text;
}
