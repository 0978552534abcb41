import { Deflate, Inflate, Z_BUF_ERROR, Z_SYNC_FLUSH } from 'pako';
import { MultifdError } from '../../util/errors.ts';
import { offered } from './aside.ts';
import type { Codec, Decoder, Encoder } from '../codec.ts';

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

/**
 * Thrown out of the library once a payload has yielded more than it may: what expands a
 * thousandfold stops there.
 */
class TooMuch extends Error {}

function zlibDecoder(): Decoder {
  const stream = new Inflate({ chunkSize: CHUNK });
  let take: (piece: Uint8Array) => void = () => {};
  stream.onData = (piece) => take(piece);
  return {
    async decode(payload, into) {
      let filled = 0;
      take = (piece) => {
        if (filled + piece.length > into.length) throw new TooMuch();
        into.set(piece, filled);
        filled += piece.length;
      };
      if (stream.ended)
        throw new MultifdError('ERR_DECOMPRESS', 'the compressed stream has ended already');
      try {
        // Shared memory is not what the library expects.
        stream.push(payload.slice(), Z_SYNC_FLUSH);
      } catch (thrown) {
        if (thrown instanceof TooMuch)
          throw new MultifdError(
            'ERR_DECOMPRESS',
            `the compressed data yields more than the ${into.length} bytes its pages have`,
          );
        throw thrown;
      }
      if (stream.err !== 0 && stream.err !== Z_BUF_ERROR)
        throw new MultifdError(
          'ERR_DECOMPRESS',
          `the compressed data is broken: ${stream.msg || stream.err}`,
        );
      if (stream.ended)
        throw new MultifdError(
          'ERR_DECOMPRESS',
          'the compressed stream ended, but it has to go on for the whole migration',
        );
      if (filled < into.length)
        throw new MultifdError(
          'ERR_DECOMPRESS',
          `the compressed data yields ${filled} bytes, but its pages have ${into.length}`,
        );
    },
    close() {},
  };
}
