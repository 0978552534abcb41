import type { CoreExports } from '../core/index.ts';
import type { Decoder } from '../compression/index.ts';
import { BATCH_BYTES, type Scratch } from '../blocks/areas.ts';
import type { PageTargets } from '../blocks/page-targets.ts';
import type { Input } from '../transport/connection.ts';
import { MultifdError } from '../util/errors.ts';

/** Where in a channel something is, for an error. */
export type Position = (offset?: number) => { channel: number; packet: number; offset: number };

export interface PayloadInputOptions {
  core: CoreExports;
  input: Input;
  decoder: Decoder | undefined;
  targets: PageTargets;
  scratch: Scratch;
  pageSize: number;
  /** The channel's slot: a batch's pages, their offsets, and a packed payload. */
  slot: { payload: Uint8Array; payloadOffset: number };
  position: Position;
  /** Whether the engine works still. */
  running: () => boolean;
}

/** The pages of a channel's packets, on their way from the connection to where they belong. */
export class PayloadInput {
  /** Address of the offsets of a packet's pages, the normal ones first. */
  readonly offsets: number;
  readonly #options: PayloadInputOptions;
  /** Where a packed payload lies in the slot, in bytes. */
  readonly #packedAt: number;

  constructor(options: PayloadInputOptions) {
    this.#options = options;
    this.offsets = options.slot.payloadOffset + BATCH_BYTES;
    this.#packedAt = BATCH_BYTES + 8 * options.scratch.pages;
  }

  /** Fills the views from the connection. @throws MultifdError ERR_PEER_CLOSED when it ends. */
  fill(views: readonly Uint8Array[]): void | Promise<void> {
    return then(this.#options.input.fill(views), (filled) => {
      if (filled || !this.#options.running()) return;
      throw new MultifdError(
        'ERR_PEER_CLOSED',
        'the source closed the connection in the middle of a packet',
        this.#options.position(),
      );
    });
  }

  /**
   * Takes the content of a packet's normal pages.
   * @param bytes of the payload.
   */
  takePages(block: number, count: number, bytes: number): void | Promise<void> {
    const { decoder, pageSize, slot, targets } = this.#options;
    const { offsets } = this;
    const target = targets.of(block);
    const { viewOf } = target;
    if (viewOf !== undefined && (decoder === undefined || decoder.decodeInPlace !== undefined)) {
      const views = this.#runs(viewOf, count);
      const filled =
        decoder === undefined
          ? this.#fillInPlace(views)
          : this.#unpack(bytes, (packed) => decoder.decodeInPlace!(packed, views));
      return then(filled, () => target.markWritten?.({ offsets, count }));
    }
    const content = slot.payload.subarray(0, count * pageSize);
    const filled =
      decoder === undefined
        ? this.fill([content])
        : this.#unpack(bytes, (packed) => decoder.decode(packed, content));
    return then(filled, () => target.write({ offsets, count }, [content]));
  }

  /**
   * A source that sends pages while its blocks grow can have them moved under a read. Views of what
   * was there before have no length then.
   */
  #fillInPlace(views: Uint8Array[]): void | Promise<void> {
    const at = this.#options.input.offset;
    try {
      const filled = this.fill(views);
      if (filled !== undefined)
        return filled.then(
          () => this.#demandUnmoved(views, at),
          (thrown: unknown) => this.#unlessMoved(views, at, thrown),
        );
    } catch (thrown) {
      this.#unlessMoved(views, at, thrown);
    }
    this.#demandUnmoved(views, at);
  }

  #demandUnmoved(views: readonly Uint8Array[], at: number): void {
    if (views[0]!.length === 0)
      throw new MultifdError(
        'ERR_STREAM',
        'pages came between a block list and the flush behind it, while their block was ' +
          'moved to grow',
        this.#options.position(at),
      );
  }

  #unlessMoved(views: readonly Uint8Array[], at: number, thrown: unknown): never {
    this.#demandUnmoved(views, at);
    throw thrown;
  }

  async #unpack(bytes: number, decode: (packed: Uint8Array) => Promise<void>): Promise<void> {
    const { input, slot, position } = this.#options;
    const at = input.offset;
    const packed = slot.payload.subarray(this.#packedAt, this.#packedAt + bytes);
    await this.fill([packed]);
    try {
      await decode(packed);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      throw new MultifdError(error.code, error.message, { ...position(at), cause: thrown });
    }
  }

  /** Views of where a packet's pages belong, neighbours in one. */
  #runs(viewOf: (offset: number, length: number) => Uint8Array, count: number): Uint8Array[] {
    const { core, pageSize, scratch } = this.#options;
    const runs = core.runs(this.offsets, count, pageSize, scratch.runs);
    const views: Uint8Array[] = [];
    for (let run = 0; run < runs; run++)
      views.push(viewOf(scratch.runOffset(run), scratch.runBytes(run)));
    return views;
  }
}

/** Goes on with what a step has given: at once, where there was nothing to wait for. */
export function then<T, R>(
  step: T | Promise<T>,
  next: (value: T) => R | Promise<R>,
): R | Promise<R> {
  return step instanceof Promise ? step.then(next) : next(step);
}
