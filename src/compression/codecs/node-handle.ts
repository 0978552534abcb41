import type { Transform } from 'node:stream';
import { totalLength } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import { features } from '../../util/runtime.ts';
import type { Decoder, Encoder } from '../codec.ts';
import { broken, ended, tooLittle, tooMuch } from '../decoded.ts';

/**
 * The same native codecs, without their streams: for channels that have a thread of their own and
 * may block. A stream has its work done on the runtime's thread pool, in pieces, each with a buffer
 * of its own and a way there and back; a packet takes several of them. Its handle does all of it in
 * one call, from memory into memory.
 *
 * Node documents nothing of this, so it is looked for first; the streams (node-stream.ts) do the
 * same where it is not found.
 */

/** What is used of a zlib stream's inside. */
interface Insides {
  _handle: {
    /**
     * One call of the codec. What is left of both buffers is in the stream's `_writeState` then.
     */
    writeSync(
      flush: number,
      input: Uint8Array,
      inputOffset: number,
      inputLength: number,
      output: Uint8Array,
      outputOffset: number,
      outputLength: number,
    ): void;
    onerror: (message: string) => void;
  };
  /** Bytes left of the output, and of the input. */
  _writeState: Uint32Array;
}

/** A codec of one stream: how much of the input it has taken, and of the output it has filled. */
class DirectCodec {
  readonly #stream: Transform;
  readonly #insides: Insides;
  #failure: string | undefined;

  constructor(stream: Transform) {
    this.#stream = stream;
    this.#insides = stream as unknown as Insides;
    this.#insides._handle.onerror = (message) => {
      this.#failure = message;
    };
  }

  /** @returns what is wrong with the data, if anything. */
  run(
    flush: number,
    input: Uint8Array,
    output: Uint8Array,
  ): { taken: number; filled: number; failure: string | undefined } {
    this.#insides._handle.writeSync(flush, input, 0, input.length, output, 0, output.length);
    const [outputLeft, inputLeft] = this.#insides._writeState;
    return {
      taken: input.length - inputLeft!,
      filled: output.length - outputLeft!,
      failure: this.#failure,
    };
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** Whether a stream of node:zlib is one whose inside is known. Those of Deno and Bun are others. */
export function isDirect(stream: Transform): boolean {
  if (!features().codecHandles) return false;
  const { _handle: handle, _writeState: state } = stream as unknown as Partial<Insides>;
  return (
    typeof handle?.writeSync === 'function' &&
    'onerror' in handle &&
    state instanceof Uint32Array &&
    state.length === 2
  );
}

const NO_FLUSH = 0;

/**
 * @param flush the codec's own number for it.
 * @param room bytes that a packet's payload fits in, mostly.
 * @param inPlace whether the codec reads each byte once. libzstd's streams copy what comes first
 *   of all, and QEMU relies on that too; zlib promises nothing, and QEMU makes a copy for it.
 */
export function directEncoder(
  stream: Transform,
  flush: number,
  room: number,
  inPlace: boolean,
): Encoder {
  const codec = new DirectCodec(stream);
  const first = new Uint8Array(room);

  async function encode(pages: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const payload: Uint8Array[] = [];
    let output = first;
    let at = 0;
    for (const [index, piece] of pages.entries()) {
      const kind = index === pages.length - 1 ? flush : NO_FLUSH;
      for (let input = piece; ; ) {
        const { taken, filled, failure } = codec.run(kind, input, output.subarray(at));
        if (failure !== undefined)
          throw new MultifdError('ERR_CODEC', `compressing failed: ${failure}`);
        input = input.subarray(taken);
        at += filled;
        // With room to spare, all has been taken, and flushed if that was asked for.
        if (at < output.length) break;
        payload.push(output);
        output = new Uint8Array(room);
        at = 0;
      }
    }
    return [...payload, output.subarray(0, at)];
  }

  return {
    encode: (pages) => encode([pages]),
    ...(inPlace && { encodeInPlace: encode }),
    close: () => codec.close(),
  };
}

export function directDecoder(stream: Transform): Decoder {
  const codec = new DirectCodec(stream);
  const beyond = new Uint8Array(1);

  async function decode(payload: Uint8Array, into: readonly Uint8Array[]): Promise<void> {
    const wanted = totalLength(into);
    let input = payload;
    let filled = 0;
    const run = (output: Uint8Array): number => {
      const step = codec.run(NO_FLUSH, input, output);
      if (step.failure !== undefined) throw broken(step.failure);
      if (step.taken === 0 && step.filled === 0 && input.length > 0) throw ended();
      input = input.subarray(step.taken);
      return step.filled;
    };
    for (const piece of into) {
      for (let output = piece; output.length > 0; ) {
        const some = run(output);
        filled += some;
        output = output.subarray(some);
        if (some === 0 && input.length === 0) throw tooLittle(filled, wanted);
      }
    }
    // The end of what was flushed may be left of the input, and yields nothing.
    do if (run(beyond) > 0) throw tooMuch(wanted);
    while (input.length > 0);
  }

  return {
    decode: (payload, into) => decode(payload, [into]),
    decodeInPlace: decode,
    close: () => codec.close(),
  };
}
