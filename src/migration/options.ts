import { COMPRESSIONS, type Compression } from '../compression/index.ts';
import { MultifdError } from '../errors.ts';
import { isPageSize } from '../stream/index.ts';
import type { MigrationStatistics } from './statistics.ts';

/** What both ends of a migration have to agree on, and how this one behaves. Names and defaults are QEMU's where QEMU has them. */
export interface MigrationOptions {
  /** Multifd channels, 1 to 255 (2). The same at both ends. */
  channels?: number;
  /** The same at both ends (none). */
  compression?: Compression;
  /** 16 bytes or its text form; a peer with another one is refused (all zero: none). */
  uuid?: Uint8Array | string;
  /** The source goes into its last pass only when the target has said that it may (false). Needs a return path. The same at both ends. */
  switchoverAck?: boolean;
  /** Bytes per page, a power of two from 4096 to 512 KiB (4096). The same at both ends. */
  pageSize?: number;
  /** Milliseconds for connecting, for the handshake, and for no progress at all (30000). */
  timeout?: number;
  signal?: AbortSignal;
  /** Called about five times a second from the first connection on, and once at the end. */
  onProgress?: (statistics: MigrationStatistics) => void;
  /** Run the channels as tasks of this thread instead of workers (false). */
  inline?: boolean;
}

export interface CheckedOptions {
  channels: number;
  compression: Compression;
  uuid: Uint8Array;
  switchoverAck: boolean;
  pageSize: number;
  timeout: number;
  signal: AbortSignal;
  onProgress: (statistics: MigrationStatistics) => void;
  inline: boolean;
}

/** @throws MultifdError ERR_OPTION. */
export function checkOptions(options: MigrationOptions): CheckedOptions {
  const { compression = 'none', pageSize = 4096 } = options;
  if (!COMPRESSIONS.includes(compression)) throw new MultifdError('ERR_OPTION', `compression ${JSON.stringify(compression)}: give ${COMPRESSIONS.join(', ')}`);
  if (!isPageSize(pageSize)) throw new MultifdError('ERR_OPTION', `page size ${pageSize}: give a power of two from 4096 to 524288`);
  return {
    channels: integer('channels', options.channels ?? 2, 1, 255),
    compression,
    uuid: parseUuid(options.uuid),
    switchoverAck: options.switchoverAck ?? false,
    pageSize,
    // Node's timers hold no more than 2^31 - 1 milliseconds.
    timeout: integer('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    signal: options.signal ?? new AbortController().signal,
    onProgress: options.onProgress ?? (() => {}),
    inline: options.inline ?? false,
  };
}

/** @throws MultifdError ERR_OPTION. */
export function integer(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) throw new MultifdError('ERR_OPTION', `${name} ${value}: give a whole number from ${least} to ${most}`);
  return value;
}

function parseUuid(uuid: Uint8Array | string | undefined): Uint8Array {
  if (uuid === undefined) return new Uint8Array(16);
  if (typeof uuid === 'string') {
    if (!/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(uuid)) throw new MultifdError('ERR_OPTION', `${JSON.stringify(uuid)} is no uuid such as 6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69`);
    return Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
  }
  if (uuid.length !== 16) throw new MultifdError('ERR_OPTION', `a uuid has 16 bytes, not ${uuid.length}`);
  return Uint8Array.from(uuid);
}
