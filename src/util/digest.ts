import { sha256 as digestOf } from '@noble/hashes/sha2.js';
import { toHex } from './bytes.ts';

/**
 * SHA-256, in hexadecimal digits. In JavaScript: what all runtimes have answers later, and the
 * programs that are described may not run meanwhile.
 */
export function sha256(text: string): string {
  return toHex(digestOf(new TextEncoder().encode(text)));
}
