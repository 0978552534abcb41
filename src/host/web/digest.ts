import { sha256 as digestOf } from '@noble/hashes/sha2.js';
import { toHex } from '../../bytes.ts';
import type * as node from '../node/digest.ts';

/**
 * In JavaScript: what the runtimes have answers later, and the programs that are described may not
 * run meanwhile.
 */
export const sha256: typeof node.sha256 = (text) => toHex(digestOf(new TextEncoder().encode(text)));
