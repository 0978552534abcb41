import type { Transform } from 'node:stream';
import zlib from 'node:zlib';
import { MultifdError } from '../../util/errors.ts';
import type { Decoder, Encoder } from '../codec.ts';
import { broken, ended, endedBefore, Filling, tooMuch } from '../decoded.ts';
import { directDecoder, directEncoder, isDirect } from './node-handle.ts';

/**
 * Codecs on node:zlib's native streams. Their work is done on the runtime's thread pool, one packet
 * of a channel at a time; or, for a channel that `mayBlock`, in its own thread, where that is
 * possible (node-handle.ts).
 */

/** Bytes per piece of output. */
const CHUNK = 1 << 17;

/**
 * Bytes that hold a packet's payload, mostly: what can't be compressed grows by a few bytes in each
 * of its blocks.
 */
const PACKET_ROOM = 513 * 1024;

/** The zstd part of node:zlib, since Node 22.15. */
interface NativeZstd {
  createZstdCompress(options: {
    chunkSize: number;
    params: Record<number, number>;
  }): FlushableTransform;
  createZstdDecompress(options: { chunkSize: number; params: Record<number, number> }): Transform;
  constants: { ZSTD_e_flush: number; ZSTD_c_compressionLevel: number; ZSTD_d_windowLogMax: number };
}

type FlushableTransform = Transform & { flush(kind: number, callback: () => void): void };

/**
 * Largest window a zstd stream may ask the decoder to keep, as a power of two: 128 MiB, libzstd's
 * own limit for streams.
 */
const ZSTD_WINDOW_LOG_MAX = 27;

/** Native zstd, where this runtime has it. */
export function nativeZstd(): NativeZstd | undefined {
  return 'createZstdCompress' in zlib ? (zlib as unknown as NativeZstd) : undefined;
}

export function zlibEncoder(level: number, mayBlock: boolean): Encoder {
  return encoder(
    zlib.createDeflate({ level, chunkSize: CHUNK }),
    zlib.constants.Z_SYNC_FLUSH,
    mayBlock,
    false,
  );
}

export function zlibDecoder(mayBlock: boolean): Decoder {
  return decoder(zlib.createInflate({ chunkSize: CHUNK }), mayBlock);
}

export function nativeZstdEncoder(zstd: NativeZstd, level: number, mayBlock: boolean): Encoder {
  return encoder(
    zstd.createZstdCompress({
      chunkSize: CHUNK,
      params: { [zstd.constants.ZSTD_c_compressionLevel]: level },
    }),
    zstd.constants.ZSTD_e_flush,
    mayBlock,
    true,
  );
}

export function nativeZstdDecoder(zstd: NativeZstd, mayBlock: boolean): Decoder {
  return decoder(
    zstd.createZstdDecompress({
      chunkSize: CHUNK,
      params: { [zstd.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    }),
    mayBlock,
  );
}

function encoder(
  stream: FlushableTransform,
  flush: number,
  mayBlock: boolean,
  inPlace: boolean,
): Encoder {
  return mayBlock && isDirect(stream)
    ? directEncoder(stream, flush, PACKET_ROOM, inPlace)
    : new StreamEncoder(stream, flush);
}

function decoder(stream: Transform, mayBlock: boolean): Decoder {
  return mayBlock && isDirect(stream) ? directDecoder(stream) : new StreamDecoder(stream);
}

class StreamEncoder implements Encoder {
  readonly #stream: FlushableTransform;
  readonly #flush: number;
  #pieces: Uint8Array[] = [];

  constructor(stream: FlushableTransform, flush: number) {
    this.#stream = stream;
    this.#flush = flush;
    stream.on('data', (piece: Uint8Array) => this.#pieces.push(piece));
  }

  encode(pages: Uint8Array): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void =>
        reject(new MultifdError('ERR_CODEC', `compressing failed: ${cause.message}`, { cause }));
      this.#stream.once('error', failed);
      this.#stream.write(pages);
      this.#stream.flush(this.#flush, () => {
        this.#stream.off('error', failed);
        const pieces = this.#pieces;
        this.#pieces = [];
        resolve(pieces);
      });
    });
  }

  close(): void {
    this.#stream.destroy();
  }
}

class StreamDecoder implements Decoder {
  readonly #stream: Transform;
  #take: (piece: Uint8Array) => void = () => {};

  constructor(stream: Transform) {
    this.#stream = stream;
    stream.on('data', (piece: Uint8Array) => this.#take(piece));
    stream.on('error', () => {}); // the packet under way has a listener of its own
  }

  decode(payload: Uint8Array, into: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#stream;
      const pages = new Filling(into);
      const settle = (problem?: MultifdError): void => {
        stream.off('error', onError);
        stream.off('end', onEnd);
        if (problem === undefined) resolve();
        else reject(problem);
      };
      const onError = ({ message }: Error): void => settle(broken(message));
      const onEnd = (): void => settle(ended());
      this.#take = (piece) => {
        if (pages.fits(piece)) return pages.take(piece);
        // Destroyed at once, so that data which expands a thousandfold stops here.
        stream.destroy();
        settle(tooMuch(into.length));
      };
      stream.once('error', onError);
      stream.once('end', onEnd);
      if (stream.destroyed || stream.writableEnded) return settle(endedBefore());
      // The callback comes when all of the payload has been consumed and all it yields has been
      // handed out.
      stream.write(payload, () => {
        if (!stream.destroyed) settle(pages.lack);
      });
    });
  }

  close(): void {
    this.#stream.destroy();
  }
}
