import { MultifdError } from '../../errors.ts';
import type { Configuration } from '../../stream/index.ts';
import type { PageSink, TargetDescriptor } from '../channel/page-targets.ts';
import type { DeviceState } from '../channel/payloads.ts';
import { ownRecords } from '../device-records.ts';

/** Where one block's pages go. Memory of any kind has to have room for the block's used length. */
export type BlockTarget = WebAssembly.Memory | SharedArrayBuffer | ArrayBuffer | Uint8Array | PageSink;

/** A block that the source announced. */
export interface IncomingBlock {
  id: string;
  /** Bytes, whole pages. */
  usedLength: number;
}

/** What a sink says of a block: a target, or for images a region of the file, whose bitmap the migration keeps in its own memory. */
export type SinkTarget = BlockTarget | { readonly fd: number; readonly position: number };

/** What a sink gets with the last page. */
export interface SinkEnd {
  deviceState: readonly DeviceState[];
  /** Of blocks that are regions of a file: which pages are present. */
  bitmaps: readonly Uint8Array[];
  /** Of the same, where that is known: which pages were sent, present or zero. */
  changed?: readonly Uint8Array[];
}

/** Where a whole incoming migration goes. The calls come in this order, and `discard` at most once, instead of or during any but the first. */
export interface IncomingSink {
  configuration(configuration: Configuration): void | Promise<void>;
  /** The blocks, in the source's order; the answer has a target for each. */
  blocks(blocks: readonly IncomingBlock[]): readonly SinkTarget[] | Promise<readonly SinkTarget[]>;
  /** A piece of what follows the RAM, verbatim; only valid during the call. */
  tail(chunk: Uint8Array): void | Promise<void>;
  /** Everything is there: make it last. */
  commit(end: SinkEnd): void | Promise<void>;
  discard(): void | Promise<void>;
}

/** Targets for an incoming migration's blocks: by name, or by a function that is asked for each. */
export type BlockTargets = Readonly<Record<string, BlockTarget>> | ((block: IncomingBlock) => BlockTarget | Promise<BlockTarget>);

/** A sink over memories. Pages arrive in place; a failed migration leaves them as they were filled so far. */
export function memorySink(targets: BlockTargets, pageSize: number, onDeviceState: (state: DeviceState) => void | Promise<void>): IncomingSink {
  const tail: Uint8Array[] = [];
  return {
    configuration() {},
    async blocks(blocks) {
      const chosen: BlockTarget[] = [];
      for (const block of blocks) {
        const target = typeof targets === 'function' ? await targets(block) : Object.hasOwn(targets, block.id) ? targets[block.id] : undefined;
        if (target === undefined) throw new MultifdError('ERR_BLOCK', `the source has a block ${JSON.stringify(block.id)} of ${block.usedLength} bytes, but there is no target for it`);
        chosen.push(target);
      }
      return chosen;
    },
    tail(chunk) {
      tail.push(chunk.slice());
    },
    async commit({ deviceState }) {
      const records = ownRecords(Buffer.concat(tail), pageSize) ?? [];
      for (const state of [...records, ...deviceState]) await onDeviceState(state);
    },
    discard() {},
  };
}

/** @throws MultifdError ERR_BLOCK_LENGTH when the target is too small. */
export function describeTarget(target: SinkTarget, { id, usedLength }: IncomingBlock): TargetDescriptor {
  if ('fd' in target) return { kind: 'file', fd: target.fd, position: target.position };
  const bytes = memoryOf(target);
  if (bytes === undefined) return { kind: 'sink', sink: target as PageSink };
  if (bytes.length < usedLength) {
    throw new MultifdError('ERR_BLOCK_LENGTH', `the source's block ${JSON.stringify(id)} has ${usedLength} bytes, its target ${bytes.length}: give it more room`);
  }
  return { kind: 'memory', bytes: bytes.subarray(0, usedLength) };
}

function memoryOf(target: BlockTarget): Uint8Array | undefined {
  if (target instanceof WebAssembly.Memory) return new Uint8Array(target.buffer);
  if (target instanceof Uint8Array) return target;
  if (target instanceof SharedArrayBuffer || target instanceof ArrayBuffer) return new Uint8Array(target);
  return undefined;
}

/** Whether a thread other than this one can reach the target. */
export function isShareable(descriptor: TargetDescriptor): boolean {
  return descriptor.kind === 'file' || (descriptor.kind === 'memory' && descriptor.bytes.buffer instanceof SharedArrayBuffer);
}
