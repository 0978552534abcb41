import { SLOT_HEADER_BYTES } from './layout.ts';

/**
 * The only payload type the engine knows: an empty slot. Payload types are positive integers chosen
 * by their clients.
 */
export const NONE = 0;

/**
 * A slot: a tagged union in the arena. Only the owner of its offset (one client or one
 * channel) may touch it.
 *
 * ```
 *   0   u32       type: NONE or a payload type
 *   4   u32[15]   fields of that payload type, all zero when the slot takes the type
 *   64  bytes     payload area
 * ```
 *
 * Nothing of a slot outlives its type: {@link become} clears the fields, so what a type needs in
 * them (a capacity, a count) is set each time a slot takes the type, never once at set-up. A slot
 * that changed hands would not have it.
 */
export class Slot {
  /** Byte offset of the slot in the arena. */
  readonly offset: number;
  /** Byte offset of the payload area in the arena. */
  readonly payloadOffset: number;
  /** The payload area. */
  readonly payload: Uint8Array;
  /** The type's own 15 words. */
  readonly fields: Uint32Array;
  readonly #type: Uint32Array;

  constructor(buffer: ArrayBufferLike, offset: number, slotBytes: number) {
    this.offset = offset;
    this.payloadOffset = offset + SLOT_HEADER_BYTES;
    this.#type = new Uint32Array(buffer, offset, 1);
    this.fields = new Uint32Array(buffer, offset + 4, SLOT_HEADER_BYTES / 4 - 1);
    this.payload = new Uint8Array(buffer, this.payloadOffset, slotBytes - SLOT_HEADER_BYTES);
  }

  /** NONE, or the payload type that it was given. */
  get type(): number {
    return this.#type[0]!;
  }

  /** Makes this slot one of `type`, with all fields zero. */
  become(type: number): void {
    this.fields.fill(0);
    this.#type[0] = type;
  }

  /** Empties the slot. */
  clear(): void {
    this.become(NONE);
  }
}
