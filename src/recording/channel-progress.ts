import {
  COMPRESSION_MASK,
  COMPRESSION_SHIFT,
  DEVICE_STATE,
  DEVICE_STATE_LENGTH,
  FLAG_DEVICE_STATE,
  FLAG_SYNC,
  INITIAL_LENGTH,
  MAGIC,
  PACKET_PAGES_BYTES,
  pagesPerPacket,
  RAM,
  ramHeaderLength,
} from '../core/index.ts';
import type { PacketNumbers } from '../migration/incoming/packet-numbers.ts';

/**
 * How far a multifd channel has come, by the headers of its packets as they go by: whether it has
 * reached the last sync of the main channel is what tells that all has come, for a channel stays
 * open until the source has been told.
 */
export class ChannelProgress implements PacketNumbers {
  /** Packets with SYNC that have come whole. */
  syncs = 0;
  /** Pages in its packets, those of the last one too, which may not be whole. */
  pages = 0;
  numbered = 0;
  numbers = 0;
  merged = false;
  /** The packets can't be followed: they are none. */
  lost = false;
  /** Bytes per page, once a packet has said how many it has room for. */
  pageSize: number | undefined;
  readonly #head = new Uint8Array(DEVICE_STATE_LENGTH);
  readonly #view = new DataView(this.#head.buffer);
  #filled = 0;
  /** Bytes that are still to be passed over. */
  #skip = INITIAL_LENGTH;
  #sync = false;
  /** The rest of a SYNC packet of unknown length is passed over: zeros, up to the next magic. */
  #zeros = false;

  /** Takes what has come. @param pageSize bytes, if another channel, or the stream, has told it. */
  feed(chunk: Uint8Array, pageSize: number | undefined): void {
    for (let at = 0; at < chunk.length && !this.lost; ) {
      const skipped = Math.min(this.#skip, chunk.length - at);
      this.#skip -= skipped;
      at += skipped;
      if (this.#skip > 0) return;
      this.#passed();
      while (this.#zeros && chunk[at] === 0) at++;
      if (at === chunk.length) return;
      this.#zeros = false;
      const part = chunk.subarray(at, at + DEVICE_STATE_LENGTH - this.#filled);
      this.#head.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === DEVICE_STATE_LENGTH) this.#parseHeader(pageSize);
    }
    if (this.#skip === 0) this.#passed();
  }

  /** The packet before is whole. */
  #passed(): void {
    if (this.#sync) this.syncs++;
    this.#sync = false;
  }

  #parseHeader(pageSize: number | undefined): void {
    const view = this.#view;
    this.#filled = 0;
    if (view.getUint32(RAM.magic) !== MAGIC) return void (this.lost = true);
    const flags = view.getUint32(RAM.flags);
    if ((flags & FLAG_DEVICE_STATE) !== 0)
      return void (this.#skip = view.getUint32(DEVICE_STATE.nextPacketSize));
    const room = view.getUint32(RAM.pagesAlloc);
    if (room > 0) this.pageSize = PACKET_PAGES_BYTES / room;
    // SYNC packets of QEMU 9 and later say 0. The first of them can come before any other has told.
    const known = this.pageSize ?? pageSize;
    const pages = room || (known === undefined ? 1 : pagesPerPacket(known));
    this.#zeros = room === 0 && known === undefined;
    const normal = view.getUint32(RAM.normalPages);
    const packed = ((flags >>> COMPRESSION_SHIFT) & COMPRESSION_MASK) !== 0;
    // Before QEMU 9 what a packet without pages says of its payload means nothing.
    const payload =
      normal === 0
        ? 0
        : packed
          ? view.getUint32(RAM.nextPacketSize)
          : (normal * PACKET_PAGES_BYTES) / pages;
    this.#skip = ramHeaderLength(pages) - DEVICE_STATE_LENGTH + payload;
    this.#sync = (flags & FLAG_SYNC) !== 0;
    this.pages += normal + view.getUint32(RAM.zeroPages);
    this.lost = !Number.isSafeInteger(this.#skip);
    this.numbered++;
    this.merged = this.#sync && normal > 0;
    this.numbers = Math.max(
      this.numbers,
      1 + view.getUint32(RAM.packetNum) * 2 ** 32 + view.getUint32(RAM.packetNum + 4),
    );
  }
}
