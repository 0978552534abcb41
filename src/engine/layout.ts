/**
 * Where everything lies in an arena: the one shared linear memory that the owner, the clients and
 * the channels work in. All positions are byte offsets; all words are 32-bit and accessed with
 * Atomics unless a comment says who alone owns them.
 *
 * ```
 *   0      engine words                     ENGINE_BYTES
 *   64     channel words, one line each     CHANNEL_BYTES * channels
 *          client words, one line each      CLIENT_BYTES * clients
 *          shared area                      sharedBytes   (the program's: block table, bitmaps)
 *          scratch, one per channel         scratchBytes * channels
 *          slots                            slotBytes * (channels + clients)
 * ```
 */

const LINE = 64;
const ALIGN = 4096;
const WASM_PAGE = 65536;
const WASM_PAGES_MAX = 65536;

/** Engine words, as indices into an Int32Array over the arena. */
export const EngineWord = {
  /**
   * A {@link State}. Published by the thread that ends or fails the engine; every waiter reads it
   * before and after it waits.
   */
  STATE: 0,
  /**
   * Counting semaphore: how many channels are idle. Posted by channels, taken by send() and sync().
   */
  CHANNELS_READY: 1,
  /** Where the round robin goes on. Only touched under SEND_LOCK. */
  NEXT_CHANNEL: 2,
  /**
   * Mutex that serialises send() and sync() between clients in different threads. All waiters are
   * woken when STATE leaves RUNNING.
   */
  SEND_LOCK: 3,
  /** 64-bit counter (words 4 and 5) for the program's use: one number over all channels. */
  COUNTER: 4,
} as const;

/** Values of {@link EngineWord.STATE}. It only ever grows. */
export const State = { RUNNING: 0, ENDING: 1, FAILED: 2 } as const;

/** Channel words, as indices relative to the channel's line. */
export const ChannelWord = {
  /**
   * 1: the channel's slot holds a payload to send. The client's store publishes the slot; the
   * channel's store of 0 hands it back empty.
   */
  PENDING_JOB: 0,
  /** 1: a sync is asked for. The channel stores 0 before it posts SEM_SYNC. */
  PENDING_SYNC: 1,
  /** Semaphore: something is pending for this channel. */
  SEM: 2,
  /** Semaphore: this channel has synced. */
  SEM_SYNC: 3,
  /** Byte offset of the slot that the channel owns. Published by PENDING_JOB. */
  SLOT: 4,
  /**
   * 1: a receiving channel has read its connection to the end. Stored before SEM_SYNC is posted a
   * last time.
   */
  ENDED: 5,
} as const;

/** Client words, relative to the client's line. */
export const ClientWord = {
  /** Byte offset of the slot that the client owns. Only the client's own thread touches it. */
  SLOT: 0,
} as const;

/**
 * Byte offset, in a channel's line pair, of its counters: {@link COUNTERS} float64 values that the
 * channel alone writes.
 */
export const COUNTERS_OFFSET = LINE;
/**
 * Counters per channel. The first two are the engine's: packets and bytes; the others belong to the
 * channel's program.
 */
export const COUNTERS = 8;

const ENGINE_BYTES = LINE;
const CHANNEL_BYTES = 2 * LINE;
const CLIENT_BYTES = LINE;

/** What an arena has to hold. Structured-cloneable. */
export interface Geometry {
  /** Channels, 1 to 255. */
  channels: number;
  /** Clients, 0 or more. Each owns one slot beyond the channels' own. */
  clients: number;
  /** Bytes that a slot's payload area has room for: as much as the largest payload type needs. */
  payloadBytes: number;
  /** Bytes of scratch for each channel's program. */
  scratchBytes: number;
  /** Bytes of one area that all channels and clients see. */
  sharedBytes: number;
}

/** Bytes of a slot before its payload area: the type word, then the type's own fields. */
export const SLOT_HEADER_BYTES = 64;

/** Where everything is in an arena: byte offsets, and lengths in bytes. */
export interface Layout {
  /** A channel's words. */
  readonly channel: (id: number) => number;
  /** A client's word. */
  readonly client: (index: number) => number;
  /** The area that all channels and clients see. */
  readonly shared: number;
  /** A channel's scratch. */
  readonly scratch: (id: number) => number;
  /** The first slot; the others follow, `slotBytes` apart. */
  readonly slots: number;
  /** A slot with its header, rounded up. */
  readonly slotBytes: number;
  /** Channels and clients together. */
  readonly slotCount: number;
  /** Size of the memory, in WebAssembly pages of 64 KiB. */
  readonly wasmPages: number;
}

const up = (value: number, to: number): number => Math.ceil(value / to) * to;

/** @throws RangeError when the arena would not fit a 32-bit memory. */
export function layOut({
  channels,
  clients,
  payloadBytes,
  scratchBytes,
  sharedBytes,
}: Geometry): Layout {
  const channelsAt = ENGINE_BYTES;
  const clientsAt = channelsAt + channels * CHANNEL_BYTES;
  const shared = up(clientsAt + clients * CLIENT_BYTES, LINE);
  const scratchAt = up(shared + sharedBytes, LINE);
  const scratchStride = up(scratchBytes, LINE);
  // The payload area, not the slot, starts on a page boundary, so that staged pages are aligned for
  // the kernel too.
  const slotBytes = up(SLOT_HEADER_BYTES + payloadBytes, ALIGN);
  const slots =
    up(scratchAt + channels * scratchStride + SLOT_HEADER_BYTES, ALIGN) - SLOT_HEADER_BYTES;
  const slotCount = channels + clients;
  const wasmPages = Math.ceil((slots + slotCount * slotBytes) / WASM_PAGE);
  if (wasmPages > WASM_PAGES_MAX)
    throw new RangeError(`an arena of ${wasmPages} WebAssembly pages does not fit a 32-bit memory`);
  return {
    channel: (id) => channelsAt + id * CHANNEL_BYTES,
    client: (index) => clientsAt + index * CLIENT_BYTES,
    shared,
    scratch: (id) => scratchAt + id * scratchStride,
    slots,
    slotBytes,
    slotCount,
    wasmPages,
  };
}
