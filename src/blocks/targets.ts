import { DESCRIPTORS_CROSS_THREADS } from '#files';
import { canPost, isSharedBuffer, spanOf, viewOf, GrowingBytes } from '../util/bytes.ts';
import { givenMethods } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { type Configuration, DEFAULT_PAGE_SIZE, type OtherPlace } from '../stream/index.ts';
import type { PageSink, BlockTargetSpec } from './page-targets.ts';
import type { DeviceState } from './payloads.ts';
import { ownRecords } from './device-records.ts';

const WASM_PAGE = 65536;
/** As large as a memory can grow. */
const WASM_BYTES = 2 ** 32;

/**
 * Where one block's pages go. Memory of any kind has to have room for the block's used length; a
 * WebAssembly.Memory is grown to have it, as far as its maximum allows.
 */
export type BlockTarget =
  | WebAssembly.Memory
  | SharedArrayBuffer
  | ArrayBuffer
  | ArrayBufferView
  | PageSink;

/** A block that the source announced. */
export interface IncomingBlock {
  /** Its name. */
  id: string;
  /** Bytes, whole pages. */
  usedLength: number;
  /** Where the guest has it, in bytes; only from a source with x-ignore-shared. */
  address?: number;
}

/**
 * What a sink says of a block: a target, or for images a region of the file, whose bitmap the
 * migration keeps in its own memory.
 */
export type SinkTarget = BlockTarget | { readonly fd: number; readonly position: number };

/** What a sink gets with the last page. */
export interface SinkEnd {
  deviceState: readonly DeviceState[];
  /** Of blocks that are regions of a file: which pages are present. */
  bitmaps: readonly Uint8Array[];
  /** Of the same, where that is known: which pages were sent, present or zero. */
  changed?: readonly Uint8Array[];
}

/**
 * Where a whole incoming migration goes. The calls come in this order, and `discard` at most once,
 * instead of or during any but the first.
 */
export interface IncomingSink {
  /** Whether it is known, before any block is, that other threads can reach all of its targets. */
  readonly reachable: boolean;
  /** Whether all of its memories are zero before anything comes. */
  readonly zeroed: boolean;
  /**
   * Whether `commit` is not waited for once the migration has failed: it makes nothing last,
   * and runs code of the caller's that may never end.
   */
  readonly leavable?: boolean;
  configuration(configuration: Configuration): void | Promise<void>;
  /**
   * A piece of a section that is not "ram" and comes before the device sections, verbatim; only
   * valid during the call. Those that come before "ram" are here before `blocks`.
   */
  other(place: OtherPlace, chunk: Uint8Array): void;
  /**
   * The blocks, in the source's order; the answer has a target for each.
   * @param pageSize bytes.
   */
  blocks(
    blocks: readonly IncomingBlock[],
    pageSize: number,
  ): readonly SinkTarget[] | Promise<readonly SinkTarget[]>;
  /** A piece of what follows the RAM, verbatim; only valid during the call. */
  tail(chunk: Uint8Array): void | Promise<void>;
  /**
   * Blocks that have grown, between two rounds; the answer has a target for each, which has what
   * came so far. May come before the first `tail`.
   */
  resize(grown: readonly IncomingBlock[]): readonly SinkTarget[] | Promise<readonly SinkTarget[]>;
  /** Everything is there: make it last. */
  commit(end: SinkEnd): void | Promise<void>;
  /** Last of all, and only for those that have it: what was moved begins to run here. */
  start?(): void | Promise<void>;
  discard(): void | Promise<void>;
}

/**
 * Targets for an incoming migration's blocks: by name, or by a function that is asked for each. It
 * is asked again, with the new length, for one that grows while it is on its way, and has to answer
 * with the same memory, or with memory that has the block's bytes already.
 */
export type BlockTargets =
  | Readonly<Record<string, BlockTarget>>
  | ((block: IncomingBlock) => BlockTarget | Promise<BlockTarget>);

/**
 * A sink over memories. Pages arrive in place; a failed migration leaves them as they were filled
 * so far.
 */
export function memorySink(
  targets: BlockTargets,
  zeroed: boolean,
  onDeviceState: (state: DeviceState) => void | Promise<void>,
  start?: () => void | Promise<void>,
): IncomingSink {
  const tail = new GrowingBytes();
  let size = DEFAULT_PAGE_SIZE;
  const choose = async (blocks: readonly IncomingBlock[]): Promise<BlockTarget[]> => {
    const chosen: BlockTarget[] = [];
    for (const block of blocks) {
      const target =
        typeof targets === 'function'
          ? await targets(block)
          : Object.hasOwn(targets, block.id)
            ? targets[block.id]
            : undefined;
      if (target === undefined)
        throw new MultifdError(
          'ERR_BLOCK',
          `the source has a block ${JSON.stringify(block.id)} of ${block.usedLength} bytes, ` +
            'but there is no target for it',
        );
      chosen.push(givenTarget(block.id, target));
    }
    return chosen;
  };
  return {
    reachable: typeof targets !== 'function' && Object.values(targets).every(isSharedTarget),
    zeroed,
    leavable: true,
    configuration() {},
    other() {},
    blocks(blocks, pageSize) {
      size = pageSize;
      return choose(blocks);
    },
    resize: choose,
    tail(chunk) {
      tail.append(chunk);
    },
    async commit({ deviceState }) {
      const records = ownRecords(tail.bytes, size) ?? [];
      for (const state of [...records, ...deviceState]) await onDeviceState(state);
    },
    ...(start !== undefined && { start }),
    discard() {},
  };
}

/**
 * How channels get at the targets, one for each block.
 * @param zeroed whether those that are memory are all zero.
 * @throws MultifdError ERR_BLOCK_LENGTH when a target is too small, and is no memory that can grow.
 */
export function targetSpecs(
  targets: readonly SinkTarget[],
  blocks: readonly IncomingBlock[],
  zeroed: boolean,
): BlockTargetSpec[] {
  // A memory that grows may take its buffer from under another target: that one is checked
  // afterwards.
  for (const [index, target] of targets.entries())
    if (target instanceof WebAssembly.Memory) makeRoom(target, blocks[index]!);
  return targets.map((target, index) => describeTarget(target, blocks[index]!, zeroed));
}

function makeRoom(memory: WebAssembly.Memory, { id, usedLength }: IncomingBlock): void {
  const { byteLength } = memory.buffer;
  if (byteLength >= usedLength) return;
  try {
    memory.grow(Math.ceil((usedLength - byteLength) / WASM_PAGE));
  } catch (cause) {
    throw new MultifdError(
      'ERR_BLOCK_LENGTH',
      `the source's block ${JSON.stringify(id)} has ${usedLength} bytes, its target ` +
        `${byteLength}, and it can't grow to that: give the memory a larger maximum`,
      { cause },
    );
  }
}

function describeTarget(
  target: SinkTarget,
  { id, usedLength }: IncomingBlock,
  zeroed: boolean,
): BlockTargetSpec {
  if (target instanceof WebAssembly.Memory) return { kind: 'memory', memory: target, zeroed };
  if (isRegion(target)) return { kind: 'file', fd: target.fd, position: target.position };
  if (!isBytes(target)) return { kind: 'sink', sink: target };
  const { byteLength } = target;
  if (byteLength < usedLength) {
    throw new MultifdError(
      'ERR_BLOCK_LENGTH',
      `the source's block ${JSON.stringify(id)} has ${usedLength} bytes, its target ` +
        `${byteLength}: give it more room`,
    );
  }
  return { kind: 'bytes', span: spanOf(target), zeroed };
}

const TARGETS =
  'a WebAssembly.Memory, a SharedArrayBuffer, an ArrayBuffer, a view of either, or { write, ' +
  'zero }';

/** @throws MultifdError ERR_OPTION for what is no target. */
export function givenTarget(id: string, target: BlockTarget): BlockTarget {
  if (target instanceof WebAssembly.Memory || isBytes(target)) return target;
  return givenMethods(
    `the target of block ${JSON.stringify(id)}`,
    target as PageSink,
    ['write', 'zero'],
    TARGETS,
  );
}

/** What a sink of our own says of a file. */
function isRegion(
  target: SinkTarget,
): target is { readonly fd: number; readonly position: number } {
  return 'fd' in target && !('write' in target);
}

function isBytes(target: BlockTarget): target is SharedArrayBuffer | ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(target) || isSharedBuffer(target) || target instanceof ArrayBuffer;
}

function isSharedTarget(target: BlockTarget): boolean {
  if (target instanceof WebAssembly.Memory) return isSharedBuffer(target.buffer);
  return canPost(ArrayBuffer.isView(target) ? target.buffer : target);
}

/**
 * Bytes of a target, all that it may ever have, of which has to be noted which pages were written.
 */
export function writtenBytes(descriptor: BlockTargetSpec): number {
  if (descriptor.kind === 'memory') return descriptor.zeroed ? WASM_BYTES : 0;
  return descriptor.kind === 'bytes' && descriptor.zeroed ? viewOf(descriptor.span).length : 0;
}

export function isMemory({ kind }: BlockTargetSpec): boolean {
  return kind === 'memory' || kind === 'bytes';
}

/** Whether a thread other than this one can reach the target. */
export function isShareable(descriptor: BlockTargetSpec): boolean {
  switch (descriptor.kind) {
    case 'file':
      return DESCRIPTORS_CROSS_THREADS;
    case 'memory':
      return isSharedBuffer(descriptor.memory.buffer);
    case 'bytes':
      return canPost(descriptor.span.buffer);
    case 'sink':
      return false;
  }
}

/**
 * Whether a thread that was posted the one descriptor of a block reaches all of what the other
 * describes.
 */
export function reachesAll(
  posted: BlockTargetSpec,
  grown: BlockTargetSpec,
  { usedLength }: IncomingBlock,
): boolean {
  if (posted.kind === 'memory') return grown.kind === 'memory' && grown.memory === posted.memory;
  if (posted.kind !== 'bytes' || grown.kind !== 'bytes') return false;
  return (
    grown.span.buffer === posted.span.buffer &&
    grown.span.byteOffset === posted.span.byteOffset &&
    viewOf(posted.span).length >= usedLength
  );
}
