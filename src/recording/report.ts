import type { ErrorRecord } from '../util/errors.ts';
import type { COMPRESSION } from '../core/index.ts';
import type { OtherReport, SectionReport } from '../image/index.ts';
import type { SyncMode } from '../stream/index.ts';
import type { WithOldNames } from '../util/old-names.ts';
import type { ConnectionId } from './recording.ts';

/** @inline */
export interface NamedRecordedBlock {
  id: string;
  /** Bytes, at the end: a block may have grown on the way. */
  'used-length': number;
  /** Pages with content, in packets of the channels. */
  normal: number;
  /** Zero pages, in packets of the channels. */
  duplicate: number;
  /** Pages with content on the main channel. */
  'main-normal': number;
  /** Zero pages on the main channel. */
  'main-duplicate': number;
  /** Rounds in which any page of it was sent. */
  rounds: number;
}

export const OLD_RECORDED_BLOCK = {
  'used-length': 'usedLength',
  duplicate: 'zero',
  'main-normal': 'mainNormal',
  'main-duplicate': 'mainZero',
} as const;

/**
 * A block in the report of a recording. Pages are counted each time they were sent.
 */
export type RecordedBlockReport = WithOldNames<NamedRecordedBlock, typeof OLD_RECORDED_BLOCK>;

/** @inline */
export interface NamedRecordedChannel {
  /** From 0 on. */
  id: number;
  /** Everything on the connection. */
  bytes: number;
  /** Packets, those of syncs included, the initial packet not. */
  packets: number;
  /** How many of them end a round. */
  syncs: number;
  /** Pages with content. */
  normal: number;
  /** Zero pages. */
  duplicate: number;
  /** How many packets are DEVICE_STATE. */
  'device-state': number;
}

export const OLD_RECORDED_CHANNEL = { duplicate: 'zero', 'device-state': 'deviceState' } as const;

/**
 * A channel in the report of a recording.
 */
export type RecordedChannelReport = WithOldNames<NamedRecordedChannel, typeof OLD_RECORDED_CHANNEL>;

/** @inline */
interface NamedRecording {
  /** Machine type, such as `pc-i440fx-10.0`. */
  machine: string;
  /** Those that change the format. */
  capabilities: string[];
  /** In the usual form with dashes; null if neither the configuration nor a channel says one. */
  uuid: string | null;
  'page-size': number;
  /** By the packets; null if there is none with pages. */
  compression: keyof typeof COMPRESSION | null;
  /** Whether the source asked for answers. */
  'return-path': boolean;
  /** What it was answered at last: SHUT's status, 0 for all is well; null if it was not told. */
  answered: number | null;
  /** Null as long as the first section of the RAM is not over, and without channels. */
  'sync-mode': SyncMode | null;
  /** How many sections "ram" has, START and END included. */
  'ram-sections': number;
  /** How often the main channel waits for all others: a round ends there. */
  syncs: number;
  /** From the first connection to the last byte; null if times were not kept. */
  'total-time': number | null;
  /** Of the main channel. */
  'precopy-bytes': number;
  /** Of all connections. */
  transferred: number;
  blocks: RecordedBlockReport[];
  channels: RecordedChannelReport[];
  /** The device sections; null if they cannot be told apart. */
  sections: SectionReport[] | null;
  /** Devices with sections that go along with the RAM, or come before it. */
  others: OtherReport[];
  /** Whether it went over to postcopy: the last pages came behind the device sections. */
  postcopy: boolean;
  /** Everything after the RAM: device sections with their headers, EOF, VMDESCRIPTION. */
  'tail-bytes': number;
  /** What keeps it from being a whole migration, the first of it; null if nothing does. */
  problem: ErrorRecord | null;
}

export const OLD_RECORDING = {
  'page-size': 'pageSize',
  'return-path': 'returnPath',
  'sync-mode': 'syncMode',
  'ram-sections': 'ramSections',
  'total-time': 'duration',
  'precopy-bytes': 'mainBytes',
  transferred: 'bytes',
  'tail-bytes': 'tailBytes',
} as const;

/**
 * What is in a recording; plain data, ready for JSON, with the names of a migration's result where
 * it has the same. Lengths in bytes, times in milliseconds.
 */
export type RecordingReport = WithOldNames<NamedRecording, typeof OLD_RECORDING>;

/** What has gone through the connections of a recording, into it or out of it. */
export interface RecordingStatistics {
  /** Milliseconds since the first connection. */
  'total-time': number;
  /** Bytes on all connections. */
  transferred: number;
  /** Bytes that all connections will have in the end; 0 where that is not known. */
  total: number;
  /** Bytes of the main channel. */
  'precopy-bytes': number;
  /** Bytes of each multifd channel. */
  channels: { id: number; bytes: number }[];
  /**
   * Bytes of all blocks, and of their pages that have not come yet, while it is recorded and once
   * the blocks are known; else null.
   */
  ram: { total: number; remaining: number } | null;
}

/** Counts bytes by connection. */
export class Traffic {
  readonly #total: number;
  readonly #bytes = new Map<ConnectionId, number>();
  #started: number | undefined;
  #ended: number | undefined;

  constructor(total = 0) {
    this.#total = total;
  }

  /** A connection stands; the first one starts the clock. */
  open(identified: ConnectionId): void {
    this.#started ??= performance.now();
    this.#bytes.set(identified, 0);
  }

  add(identified: ConnectionId, bytes: number): void {
    this.#bytes.set(identified, this.#bytes.get(identified)! + bytes);
  }

  end(): void {
    this.#ended ??= performance.now();
  }

  get started(): boolean {
    return this.#started !== undefined;
  }

  /** Whole milliseconds since the first connection. */
  get milliseconds(): number {
    const now = this.#ended ?? performance.now();
    return Math.floor(now - (this.#started ?? now));
  }

  get transferred(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  snapshot(ram: RecordingStatistics['ram'] = null): RecordingStatistics {
    const channels = [...this.#bytes].flatMap(([id, bytes]) =>
      id === 'main' ? [] : [{ id, bytes }],
    );
    return {
      'total-time': this.milliseconds,
      transferred: this.transferred,
      total: this.#total,
      'precopy-bytes': this.#bytes.get('main') ?? 0,
      channels: channels.sort((a, b) => a.id - b.id),
      ram,
    };
  }
}
