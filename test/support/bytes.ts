import { createHash } from 'node:crypto';

/** Bytes that no compression makes smaller, the same for the same seed. */
export function randomBytes(seed: string, length: number): Uint8Array {
  return createHash('shake256', { outputLength: length }).update(seed).digest();
}
