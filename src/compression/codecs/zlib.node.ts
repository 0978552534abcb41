import type { Codec } from '../codec.ts';
import { zlibDecoder, zlibEncoder } from './node-stream.ts';

/** zlib by node:zlib. */
export const codec: Codec = {
  encoder: ({ zlibLevel }, ownThread) => zlibEncoder(zlibLevel, ownThread),
  decoder: (ownThread) => zlibDecoder(ownThread),
};
