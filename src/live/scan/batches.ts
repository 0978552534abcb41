import { pagesPerPacket } from '../../core/index.ts';
import type { Client } from '../../engine/client.ts';
import { NONE } from '../../engine/slot.ts';
import type { Bandwidth } from '../../migration/outgoing/bandwidth.ts';
import { type BatchKind, RamPayload } from '../../blocks/payloads.ts';

/** How a thread hands a client's slot to a channel. */
export type Hand = (client: Client) => boolean | Promise<boolean>;

/** Pages in a batch: a packet's, or fewer where that would be too much at once. */
export function capacityOf(pageSize: number, bandwidth: Bandwidth): number {
  return Math.max(1, Math.min(pagesPerPacket(pageSize), Math.floor(bandwidth.portion / pageSize)));
}

/** One client of the engine, whose batches are all of one kind. */
export class Batches {
  readonly #client: Client;
  readonly #capacity: number;
  readonly #kind: BatchKind;
  readonly #hand: Hand;
  #batch: RamPayload;

  /** @param capacity pages in a batch. */
  constructor(client: Client, capacity: number, kind: BatchKind, hand: Hand) {
    this.#client = client;
    this.#capacity = capacity;
    this.#kind = kind;
    this.#hand = hand;
    this.#batch = new RamPayload(client.slot);
  }

  /** How many pages of `block` have room now; if none has, {@link send} first. */
  room(block: number): number {
    const batch = this.#batch;
    if (batch.slot.type === NONE) return this.#capacity;
    return batch.block === block ? this.#capacity - batch.count : 0;
  }

  /**
   * Adds `pages` neighbouring pages, which there is {@link room} for.
   * @param offset bytes into the block, of the first.
   * @param content copied into the slot.
   * @returns the copy, and its address in the arena.
   */
  add(
    block: number,
    offset: number,
    pageSize: number,
    pages: number,
    content?: Uint8Array,
  ): { copy: Uint8Array; address: number } {
    const batch = this.#batch;
    if (batch.slot.type === NONE) batch.reset(block, this.#capacity, this.#kind);
    const length = content?.length ?? 0;
    const at = batch.count * pageSize;
    const copy = batch.dataBytes(at, length);
    if (content !== undefined) copy.set(content);
    for (let page = 0; page < pages; page++) batch.push(offset + page * pageSize);
    return { copy, address: batch.data + at };
  }

  /** Sends what there is. @returns false when the engine has ended or failed. */
  send(): boolean | Promise<boolean> {
    if (this.#batch.slot.type === NONE) return true;
    const sent = this.#hand(this.#client);
    return typeof sent === 'boolean' ? this.#next(sent) : sent.then((done) => this.#next(done));
  }

  #next(sent: boolean): boolean {
    this.#batch = new RamPayload(this.#client.slot);
    return sent;
  }
}
