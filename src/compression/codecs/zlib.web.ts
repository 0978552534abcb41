import { Deflate, Inflate, Z_BUF_ERROR, Z_SYNC_FLUSH } from 'pako';
import { MultifdError } from '../../util/errors.ts';
import { offered } from './aside.ts';
import type { Codec, Decoder, Encoder } from '../codec.ts';
import { broken, ended, endedBefore, Filling } from '../decoded.ts';

/** zlib in JavaScript, for runtimes without node:zlib. */
export const codec: Codec = offered('zlib', {
  encoder: ({ zlibLevel }) => zlibEncoder(zlibLevel),
  decoder: () => zlibDecoder(),
});

/** Bytes per piece of output. */
const CHUNK = 1 << 17;

function zlibEncoder(level: number): Encoder {
  const stream = new Deflate({ level: level as 1, chunkSize: CHUNK });
  let pieces: Uint8Array[] = [];
  stream.onData = (piece) => void pieces.push(piece.slice());
  return {
    async encode(pages) {
      pieces = [];
      if (!stream.push(pages, Z_SYNC_FLUSH))
        throw new MultifdError('ERR_CODEC', `compressing failed: ${stream.msg || stream.err}`);
      return pieces;
    },
    close() {},
  };
}

function zlibDecoder(): Decoder {
  const stream = new Inflate({ chunkSize: CHUNK });
  let take: (piece: Uint8Array) => void = () => {};
  stream.onData = (piece) => take(piece);
  return {
    async decode(payload, into) {
      const pages = new Filling(into);
      // What it throws goes out through the library: what expands a thousandfold stops there.
      take = (piece) => pages.take(piece);
      if (stream.ended) throw endedBefore();
      // Shared memory is not what the library expects.
      stream.push(payload.slice(), Z_SYNC_FLUSH);
      if (stream.err !== 0 && stream.err !== Z_BUF_ERROR)
        throw broken(`${stream.msg || stream.err}`);
      if (stream.ended) throw ended();
      if (pages.lack !== undefined) throw pages.lack;
    },
    close() {},
  };
}
