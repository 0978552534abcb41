import {
  BLOCK_ENTRY,
  INITIAL_LENGTH,
  pagesPerPacket,
  RAM_INFO,
  ramHeaderLength,
  RUN,
} from '../core/index.ts';
import { GROWTH_MARGIN, GROWTH_PART } from '../core/packet-layout.ts';
import type { Arena } from '../engine/arena.ts';
import { bitmapLength } from '../stream/index.ts';

/**
 * Where a migration keeps its things in an arena's shared area and in each channel's scratch. The
 * owner lays the shared area out and fills the block table before any channel starts; from then on
 * it is only read, but for the bitmaps, which the core changes atomically, and for lengths, which
 * at a receiving end the owner makes larger between two rounds.
 *
 * ```
 * shared   0                 block table      272 bytes a block
 *          bitmaps[i]        one bit a page, for blocks that have one, each 8-byte aligned
 *          changes[i]        the same, for blocks of which is noted what was sent
 *          written[i]        the same, for memory that was zero: which pages are not any more
 *          main              a scratch of the owner's own, as the channels have theirs
 * scratch  headers           initial packet, device-state packet, or RAM headers in a row
 *          mask              one bit a page of a batch
 *          spare             u64[pages], for the core's partition
 *          runs              {f64 offset, f64 bytes}[pages]
 *          info              what the core's checks give
 * slot     payload: data     512 KiB of pages
 *          payload: offsets  u64[pages]
 *          payload: packed   receiving ends only: a compressed payload
 * ```
 */

const up8 = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Bytes of pages in a full packet, for every page size: QEMU's MULTIFD_PACKET_SIZE. */
export const BATCH_BYTES = 512 * 1024;

/**
 * So many packets are written at once where their pages can stay where they are: a call into the
 * kernel, and what surrounds it, for 4 MiB.
 */
export const PACKETS_AT_ONCE = 8;

/** The longest payload that the core lets a packet of a full batch announce, compressed or not. */
const PACKED_BYTES = BATCH_BYTES + BATCH_BYTES / GROWTH_PART + GROWTH_MARGIN;

/** Room in a sending slot: a batch and its offsets. */
export function sendPayloadBytes(pageSize: number): number {
  return BATCH_BYTES + 8 * pagesPerPacket(pageSize);
}

/** Room in a receiving slot. */
export function receivePayloadBytes(pageSize: number): number {
  return sendPayloadBytes(pageSize) + PACKED_BYTES;
}

function scratchLayout(pageSize: number) {
  const pages = pagesPerPacket(pageSize);
  const header = 0;
  const mask = header + up8(Math.max(PACKETS_AT_ONCE * ramHeaderLength(pages), INITIAL_LENGTH));
  const spare = mask + up8(4 * Math.ceil(pages / 32));
  const runs = spare + 8 * pages;
  const info = runs + RUN.length * pages;
  return { header, mask, spare, runs, info, bytes: info + RAM_INFO.length };
}

export function scratchBytes(pageSize: number): number {
  return scratchLayout(pageSize).bytes;
}

/** One thread's scratch: addresses in the arena, and views of what JavaScript reads. */
export class Scratch {
  readonly pages: number;
  /** Of the first. */
  readonly header: number;
  readonly mask: number;
  readonly spare: number;
  readonly info: number;
  readonly headerView: DataView;
  readonly maskWords: Uint32Array;
  readonly infoView: DataView;
  readonly #runs: number;
  readonly #runValues: Float64Array;
  readonly #buffer: ArrayBufferLike;

  constructor(buffer: ArrayBufferLike, at: number, pageSize: number) {
    const layout = scratchLayout(pageSize);
    this.pages = pagesPerPacket(pageSize);
    this.header = at + layout.header;
    this.mask = at + layout.mask;
    this.spare = at + layout.spare;
    this.info = at + layout.info;
    this.#runs = at + layout.runs;
    this.headerView = new DataView(buffer, this.header, layout.mask - layout.header);
    this.maskWords = new Uint32Array(buffer, this.mask, Math.ceil(this.pages / 32));
    this.infoView = new DataView(buffer, this.info, RAM_INFO.length);
    this.#runValues = new Float64Array(buffer, this.#runs, 2 * this.pages);
    this.#buffer = buffer;
  }

  /** Address for the core's `runs`. */
  get runs(): number {
    return this.#runs;
  }

  /**
   * Run i of the last call of the core's `runs`: where it lies in its block, and how long it is, in
   * bytes.
   */
  runOffset(i: number): number {
    return this.#runValues[2 * i]!;
  }

  runBytes(i: number): number {
    return this.#runValues[2 * i + 1]!;
  }

  /** Bytes of it, by their address in the arena. */
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, address, length);
  }
}

/** What the shared area holds of one block. */
export interface BlockArea {
  id: string;
  /** Bytes; a page multiple. */
  usedLength: number;
  /** Whether a bitmap of present pages is kept for it. */
  bitmap: boolean;
  /** Whether it is noted which of its pages were sent (false). */
  changes?: boolean;
  /** Bytes of it of which is noted which pages were written: all that it may ever have (0). */
  written?: number;
}

/** Where the parts of the shared area are, relative to its start. Structured-cloneable. */
export interface SharedAreas {
  blockCount: number;
  /** Byte offset of each block's bitmap, or -1. */
  bitmaps: number[];
  /** Byte offset of each block's bitmap of pages that were sent, or -1. */
  changes: number[];
  /** Byte offset of each block's bitmap of pages that were written, or -1. */
  written: number[];
  main: number;
  bytes: number;
}

export function layOutShared(blocks: readonly BlockArea[], pageSize: number): SharedAreas {
  let at = up8(BLOCK_ENTRY.length * blocks.length);
  const place = (bytes: number): number => {
    if (bytes === 0) return -1;
    const offset = at;
    at += bitmapLength(bytes, pageSize);
    return offset;
  };
  const bitmaps = blocks.map(({ bitmap, usedLength }) => place(bitmap ? usedLength : 0));
  const changes = blocks.map(({ changes = false, usedLength }) => place(changes ? usedLength : 0));
  const written = blocks.map(({ written = 0 }) => place(written));
  return {
    blockCount: blocks.length,
    bitmaps,
    changes,
    written,
    main: at,
    bytes: at + scratchBytes(pageSize),
  };
}

/** Address of block `index`'s id in the block table. */
export function blockIdAddress(arena: Arena, index: number): number {
  return arena.layout.shared + index * BLOCK_ENTRY.length + BLOCK_ENTRY.id;
}

/**
 * Address of a block's bitmap in the arena, or undefined.
 * @param of which: of the pages that are present, of those that were sent, or written.
 */
export function bitmapAddress(
  arena: Arena,
  areas: SharedAreas,
  block: number,
  of: 'bitmaps' | 'changes' | 'written' = 'bitmaps',
): number | undefined {
  const offset = areas[of][block]!;
  return offset < 0 ? undefined : arena.layout.shared + offset;
}
