import { Counter } from '../blocks/batcher.ts';

/** Of one multifd channel. Pages, where nothing else is said. */
export interface ChannelStatistics {
  /** From 0 on. */
  id: number;
  /** Packets, those of syncs included, the initial packet not. */
  packets: number;
  /** Everything on the connection; for files, page content. */
  bytes: number;
  /** Pages with content. */
  normal: number;
  /** Zero pages. */
  duplicate: number;
}

/**
 * Names and units as in QEMU's `query-migrate`: `MigrationRAMStats` of qapi/migration.json. Counts
 * are of pages.
 */
export interface RamStatistics {
  /** Bytes of all blocks. */
  total: number;
  /** Bytes on all connections. */
  transferred: number;
  /** Bytes of pages that have not been handled yet. */
  remaining: number;
  /** Pages with content. */
  normal: number;
  /** Bytes of those. */
  'normal-bytes': number;
  /** Zero pages. */
  duplicate: number;
  /** Bytes. */
  'page-size': number;
  /** Throughput in megabits per second, since the channels were set up. */
  mbps: number;
  /** Bytes of the multifd channels. */
  'multifd-bytes': number;
  /** Bytes of the main channel; with postcopy, until the switch to it. */
  'precopy-bytes': number;
  /**
   * Bytes from there on, with the device sections, of the main channel and the one for urgent
   * pages.
   */
  'postcopy-bytes': number;
  /** How often all channels were synced for a new round. */
  'dirty-sync-count': number;
}

/** What a migration has done so far, or in the end. */
export interface MigrationStatistics {
  /** Milliseconds since the first connection. */
  'total-time': number;
  /** Milliseconds of that until all channels stood. */
  'setup-time': number;
  /** All pages together. */
  ram: RamStatistics;
  /** By channel. */
  channels: ChannelStatistics[];
  /** The RAM blocks, with their lengths in bytes. */
  blocks: { id: string; 'used-length': number }[];
  /**
   * Whether the target's last word (SHUT on the return path) has reached the source, as far as this
   * end can know. At the source: true once it came; false while everything has been sent and it has
   * not, so that the target may have everything, and run it. At the target: true when it was sent,
   * and the connection was still there after that as far as TCP tells; false when the connection
   * was gone, so that the source may go on as well. null: not as far as that yet, or there is no
   * return path.
   */
  confirmed: boolean | null;
}

/** Bytes on all multifd channels, by their counters. */
export function bytesOf(channels: readonly Float64Array[]): number {
  return channels.reduce((sum, counters) => sum + counters[Counter.BYTES]!, 0);
}

/** Collects what a migration has done. One end of one migration has one. */
export class StatisticsCollector {
  /** Bytes. */
  pageSize: number;
  blocks: { id: string; usedLength: number }[] = [];
  /** Each channel's counters, in the arena. */
  channels: readonly Float64Array[] = [];
  /** Bytes of the main channel. */
  mainBytes = 0;
  /** Pages that came or went on the main channel. */
  mainNormal = 0;
  mainDuplicate = 0;
  /** Bytes of the main channel when postcopy began. */
  #beforePostcopy: number | undefined;
  syncs = 0;
  confirmed: boolean | null = null;
  #started: number | undefined;
  #setUp: number | undefined;
  #ended: number | undefined;

  constructor(pageSize: number) {
    this.pageSize = pageSize;
  }

  start(): void {
    this.#started ??= performance.now();
  }

  get started(): boolean {
    return this.#started !== undefined;
  }

  setUp(): void {
    this.#setUp ??= performance.now();
  }

  /** It switches to postcopy, now or before. */
  postcopy(): void {
    this.#beforePostcopy ??= this.mainBytes;
  }

  end(): void {
    this.#ended ??= performance.now();
  }

  /** Everything that shows progress, added up. */
  get transferred(): number {
    return this.mainBytes + bytesOf(this.channels);
  }

  /** Changes whenever anything has been done. */
  get progress(): number {
    return (
      this.transferred +
      this.channels.reduce((sum, counters) => sum + counters[Counter.DUPLICATE]!, 0)
    );
  }

  snapshot(): MigrationStatistics {
    const now = this.#ended ?? performance.now();
    const started = this.#started ?? now;
    const setUp = this.#setUp ?? now;
    const channels = this.channels.map((counters, id) => ({
      id,
      packets: counters[Counter.PACKETS]!,
      bytes: counters[Counter.BYTES]!,
      normal: counters[Counter.NORMAL]!,
      duplicate: counters[Counter.DUPLICATE]!,
    }));
    const sum = (key: 'bytes' | 'normal' | 'duplicate'): number =>
      channels.reduce((total, channel) => total + channel[key], 0);
    const total = this.blocks.reduce((bytes, { usedLength }) => bytes + usedLength, 0);
    const normal = sum('normal') + this.mainNormal;
    const duplicate = sum('duplicate') + this.mainDuplicate;
    const { transferred } = this;
    const busy = now - setUp;
    const precopy = this.#beforePostcopy ?? this.mainBytes;
    return {
      'total-time': Math.round(now - started),
      'setup-time': Math.round(setUp - started),
      ram: {
        total,
        transferred,
        remaining: Math.max(0, total - (normal + duplicate) * this.pageSize),
        normal,
        'normal-bytes': normal * this.pageSize,
        duplicate,
        'page-size': this.pageSize,
        mbps: busy > 0 ? Math.round((transferred * 8) / busy) / 1000 : 0,
        'multifd-bytes': sum('bytes'),
        'precopy-bytes': precopy,
        'postcopy-bytes': this.mainBytes - precopy,
        'dirty-sync-count': this.syncs,
      },
      channels,
      blocks: this.blocks.map(({ id, usedLength }) => ({ id, 'used-length': usedLength })),
      confirmed: this.confirmed,
    };
  }
}
