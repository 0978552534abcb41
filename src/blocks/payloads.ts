import { type CoreExports, encodeId, ID_LENGTH } from '../core/index.ts';
import type { Slot } from '../engine/slot.ts';
import { BATCH_BYTES } from './areas.ts';

/** The migration's payload types, as it registers them with the engine. */
export const RAM = 1;
export const DEVICE_STATE = 2;

const RamField = { BLOCK: 0, COUNT: 1, CAPACITY: 2, FLAGS: 3, FIRST: 4, PAGES: 5 } as const;

/** Page i of the batch is in the slot already, at data + i * page size. */
const STAGED = 1;
/** The channel detects zero pages. */
const DETECT = 2;
/** All pages of the batch are known to be zero: there is no content. */
const ZERO = 4;
/** Not a list of pages but a range, of more than a packet takes. */
const RANGE = 8;

/** Who detects zero pages in a batch, and where its pages are. */
export interface BatchKind {
  /** The pages are in the slot. */
  staged?: boolean;
  /** The channel detects zero pages. */
  detect?: boolean;
  /** They are all zero. */
  zero?: boolean;
}

/**
 * A slot as a batch of pages of one RAM block: a list of them, or a range of neighbours that the
 * channel can reach, as many packets as they fill.
 *
 * ```
 * fields   u32 block index, u32 count, u32 capacity (pages), u32 flags;
 *          of a range: u32 first page, u32 pages
 * payload  512 KiB of page data, then u64[capacity] byte offsets in the block, in native order
 * ```
 */
export class RamPayload {
  readonly slot: Slot;
  readonly #offsets: Uint32Array;

  constructor(slot: Slot) {
    this.slot = slot;
    this.#offsets = new Uint32Array(slot.payload.buffer, slot.payloadOffset + BATCH_BYTES);
  }

  /**
   * Makes the slot an empty batch. All that a batch needs is set here, each time: the slot may have
   * been of any type before.
   */
  reset(
    block: number,
    capacity: number,
    { staged = false, detect = false, zero = false }: BatchKind,
  ): void {
    this.slot.become(RAM);
    const { fields } = this.slot;
    fields[RamField.BLOCK] = block;
    fields[RamField.CAPACITY] = capacity;
    fields[RamField.FLAGS] = (staged ? STAGED : 0) | (detect ? DETECT : 0) | (zero ? ZERO : 0);
  }

  /**
   * Makes the slot a range of pages, of which the channel makes a list for each packet.
   * @param first page of the block.
   */
  resetToRange(
    block: number,
    first: number,
    pages: number,
    capacity: number,
    detect: boolean,
  ): void {
    this.reset(block, capacity, { detect });
    const { fields } = this.slot;
    fields[RamField.FLAGS]! |= RANGE;
    fields[RamField.FIRST] = first;
    fields[RamField.PAGES] = pages;
  }

  /** Whether it is a range, of which lists are made. */
  get isRange(): boolean {
    return (this.slot.fields[RamField.FLAGS]! & RANGE) !== 0;
  }

  /** Of a range: its first page. */
  get first(): number {
    return this.slot.fields[RamField.FIRST]!;
  }

  /** Of a range: how many there are. */
  get pages(): number {
    return this.slot.fields[RamField.PAGES]!;
  }

  /** The most pages of a list. */
  get capacity(): number {
    return this.slot.fields[RamField.CAPACITY]!;
  }

  /**
   * Of a range: makes the list one of neighbours.
   * @param core over the arena.
   * @param first page of the block.
   */
  list(core: CoreExports, first: number, count: number, pageSize: number): void {
    core.neighbours(this.offsets, first, count, pageSize);
    this.slot.fields[RamField.COUNT] = count;
  }

  /** Appends a page. @param offset bytes into the block. */
  push(offset: number): void {
    const { fields } = this.slot;
    const count = fields[RamField.COUNT]!;
    this.#offsets[2 * count] = offset; // low 32 bits
    this.#offsets[2 * count + 1] = offset / 0x1_0000_0000;
    fields[RamField.COUNT] = count + 1;
  }

  get block(): number {
    return this.slot.fields[RamField.BLOCK]!;
  }

  get count(): number {
    return this.slot.fields[RamField.COUNT]!;
  }

  get full(): boolean {
    return this.count >= this.capacity;
  }

  get staged(): boolean {
    return (this.slot.fields[RamField.FLAGS]! & STAGED) !== 0;
  }

  get detect(): boolean {
    return (this.slot.fields[RamField.FLAGS]! & DETECT) !== 0;
  }

  get zero(): boolean {
    return (this.slot.fields[RamField.FLAGS]! & ZERO) !== 0;
  }

  /** Address of the page data. */
  get data(): number {
    return this.slot.payloadOffset;
  }

  /** Address of the offsets. */
  get offsets(): number {
    return this.slot.payloadOffset + BATCH_BYTES;
  }

  /** `length` bytes of the page data, from byte `from` on. */
  dataBytes(from: number, length: number): Uint8Array {
    return this.slot.payload.subarray(from, from + length);
  }
}

const DeviceField = { INSTANCE: 0, BYTES: 1 } as const;

/** The largest device-state payload that a slot takes. More of it goes in several packets. */
export const DEVICE_STATE_BYTES = BATCH_BYTES - ID_LENGTH;

/** A piece of state that is no RAM. */
export interface DeviceState {
  /** Whose state it is: 1 to 255 bytes of UTF-8. */
  idstr: string;
  /** Tells pieces of the same idstr apart. Unsigned, 32 bits. */
  instanceId: number;
  /** What only its owner understands. */
  data: Uint8Array;
}

/**
 * A slot as a piece of device state.
 *
 * ```
 * fields   u32 instance id, u32 bytes
 * payload  256 bytes idstr, NUL-padded, then the data
 * ```
 */
export class DeviceStatePayload {
  readonly #slot: Slot;

  constructor(slot: Slot) {
    this.#slot = slot;
  }

  /** @param state data of 1 to {@link DEVICE_STATE_BYTES} bytes. */
  fill({ idstr, instanceId, data }: DeviceState): void {
    this.#slot.become(DEVICE_STATE);
    this.#slot.fields[DeviceField.INSTANCE] = instanceId;
    this.#slot.fields[DeviceField.BYTES] = data.length;
    this.#slot.payload.set(encodeId(idstr));
    this.#slot.payload.set(data, ID_LENGTH);
  }

  get idstr(): number {
    return this.#slot.payloadOffset;
  }

  get instanceId(): number {
    return this.#slot.fields[DeviceField.INSTANCE]!;
  }

  get data(): Uint8Array {
    return this.#slot.payload.subarray(
      ID_LENGTH,
      ID_LENGTH + this.#slot.fields[DeviceField.BYTES]!,
    );
  }
}
