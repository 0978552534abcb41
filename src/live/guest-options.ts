import { MultifdError } from '../util/errors.ts';
import type { DeviceState } from '../blocks/payloads.ts';
import {
  bytesOfView,
  givenArray,
  givenFunction,
  givenMethods,
  givenText,
  integer,
  number,
  refuse,
} from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { atOnce } from '../util/callbacks.ts';
import { isSharedBuffer } from '../util/bytes.ts';
import { checkPageSize } from '../migration/options.ts';
import type { LiveMemory } from './guest-memory.ts';
import type { DirtyBitmap } from './tracking/bitmap.ts';

/**
 * How a block's changes are found: `compare`, exact, with a copy of all that was sent; `hash`, 128
 * bits a page, which takes two pages of the same hash for one with a probability of at most 2^-64;
 * or the caller's own dirty log.
 */
export type Tracking = 'compare' | 'hash' | DirtyBitmap;

/** A part of the running program's memory: one RAM block. */
export interface LiveBlock {
  /** The RAM block's name: 1 to 255 bytes of UTF-8. */
  id: string;
  /** Scanned in place; a whole number of pages. A WebAssembly memory may grow meanwhile. */
  memory: LiveMemory;
  /** How its changes are found (compare). */
  tracking?: Tracking;
  /**
   * For `hash`: the offset, a multiple of 16, of `hashScratchBytes(pageSize, scanThreads)` bytes in
   * the memory that nothing else uses, here or at the target. Needed for shared memory only: in
   * other memory they are borrowed between the guest's calls. They always go out as zeros, and are
   * zero here once the migration has ended.
   */
  scratch?: number;
}

const BLOCK_NAMES = {
  id: true,
  memory: true,
  tracking: true,
  scratch: true,
} as const satisfies OptionNames<LiveBlock>;

/** What a `Guest` is: its memory, how it is stopped and goes on, and how it is looked at. */
export interface GuestOptions {
  /** Its memories. */
  blocks: readonly LiveBlock[];
  /** Stops the program: once it resolves nothing writes to the blocks any more. */
  stop(): void | Promise<void>;
  /**
   * Lets it go on as it was: after a migration that failed once `stop` had been called, even if
   * that has not resolved yet, and after a snapshot. If it throws, or takes longer than the
   * time-out, the error says so behind what it has to say anyway: the program may not run any more.
   */
  resume(): void | Promise<void>;
  /**
   * Asked for once the program has stopped: its state that is no RAM, in pieces of at most 511 KiB.
   * Goes beside the last pages, as DEVICE_STATE packets.
   */
  deviceState?(): Iterable<DeviceState> | AsyncIterable<DeviceState>;
  /**
   * Called before each round, and once the program has stopped: throws if the program has come to
   * hold something that can't be moved. May be async.
   */
  check?(): void;
  /**
   * Asks the program to leave this share of the time, 0 to 0.99, unused. For `autoConverge`. May be
   * async.
   */
  throttle?(share: number): void;
  /** Bytes per page, a power of two from 4096 to 512 KiB (4096). */
  pageSize?: number;
  /**
   * The longest that the guest's thread is kept from the guest at a time while it is not stopped,
   * in milliseconds (2).
   */
  sliceMs?: number;
  /**
   * The share of the guest's thread that looking for changes may take while the guest has work to
   * do (0.1). After a round that brought the end no nearer it is doubled, up to a half.
   */
  scanShare?: number;
  /**
   * How many threads scan shared memory for changes (1). Memory that is not shared is scanned
   * in the thread that has it.
   */
  scanThreads?: number;
}

const GUEST_NAMES = {
  blocks: true,
  stop: true,
  resume: true,
  deviceState: true,
  check: true,
  throttle: true,
  pageSize: true,
  sliceMs: true,
  scanShare: true,
  scanThreads: true,
} as const satisfies OptionNames<GuestOptions>;

export interface CheckedGuest
  extends Required<Omit<GuestOptions, 'check' | 'throttle' | 'deviceState'>> {
  deviceState: () => Iterable<DeviceState> | AsyncIterable<DeviceState>;
  check: () => void;
  throttle: ((share: number) => void) | undefined;
}

/** @throws MultifdError ERR_OPTION. */
export function checkGuest(options: GuestOptions): CheckedGuest {
  givenOptions('a guest', options, GUEST_NAMES);
  const { blocks: given, pageSize = 4096 } = options;
  const blocks = givenArray('blocks', given, 'an array of { id, memory }').map(checkBlock);
  givenMethods('a guest', options, ['stop', 'resume'], 'functions stop and resume');
  for (const name of ['deviceState', 'check', 'throttle'] as const)
    givenFunction(name, options[name]);
  if (blocks.length === 0) throw new MultifdError('ERR_OPTION', 'a guest needs a block');
  if (new Set(blocks.map(({ id }) => id)).size !== blocks.length)
    throw new MultifdError('ERR_OPTION', 'two blocks have the same id');
  checkPageSize(pageSize);
  return {
    blocks,
    stop: () => options.stop(),
    resume: () => options.resume(),
    deviceState: () => atOnce('deviceState()', options.deviceState?.() ?? []),
    check: () => options.check?.(),
    throttle: options.throttle && ((share) => options.throttle!(share)),
    pageSize,
    sliceMs: number('slice', options.sliceMs ?? 2, 0.1, 1000),
    scanShare: number('scan share', options.scanShare ?? 0.1, 0.01, 1),
    scanThreads: integer('scan threads', options.scanThreads ?? 1, 1, 64),
  };
}

/** @throws MultifdError ERR_OPTION. */
function checkBlock(block: LiveBlock): LiveBlock {
  const {
    id,
    memory,
    tracking = 'compare',
  } = givenOptions('a block', block, BLOCK_NAMES, '{ id, memory }');
  const name = JSON.stringify(givenText('the id of a block', id));
  if (tracking !== 'compare' && tracking !== 'hash' && typeof tracking?.take !== 'function')
    refuse(`tracking of ${name}`, tracking, 'compare, hash, or a dirty log');
  if (
    memory instanceof WebAssembly.Memory ||
    isSharedBuffer(memory) ||
    memory instanceof ArrayBuffer
  )
    return block;
  if (!ArrayBuffer.isView(memory))
    refuse(
      `the memory of ${name}`,
      memory,
      'a WebAssembly.Memory, a SharedArrayBuffer, an ArrayBuffer, or a view of either',
    );
  return { ...block, memory: bytesOfView(memory) };
}
