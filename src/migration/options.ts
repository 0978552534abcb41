import { fromHex } from '../util/bytes.ts';
import { observer } from '../util/callbacks.ts';
import {
  givenBytes,
  givenFunction,
  givenSignal,
  integer,
  inWords,
  refuse,
} from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import type { CoreModules } from '../core/index.ts';
import { checkCompression, type Compression } from '../compression/index.ts';
import { hasThreads } from '#threads';
import { startOwnWorker } from '#workers';
import type { WorkerRole } from '../channel/workers/role.ts';
import type { RunningWorker, WorkerModule } from '../engine/threads/thread.ts';
import { MultifdError } from '../util/errors.ts';
import { DEFAULT_PAGE_SIZE, isPageSize } from '../stream/index.ts';
import type { ConnectionLike } from '../transport/connection-like.ts';
import type { ConnectionQueue } from '../transport/connection-queue.ts';
import type { MigrationStatistics } from './statistics.ts';

/**
 * What both ends of a migration have to agree on, and how this one behaves. Names and defaults are
 * QEMU's where QEMU has them.
 */
export interface MigrationOptions {
  /** Multifd channels, 1 to 255 (2). The same at both ends. */
  channels?: number;
  /** What pages are compressed with. The same at both ends (none). */
  compression?: Compression;
  /** 16 bytes or its text form; a peer with another one is refused (all zero: none). */
  uuid?: ArrayBufferView | string;
  /**
   * The source goes into its last pass only when the target has said that it may (false). Needs a
   * return path. The same at both ends. With QEMU's machine types from 11.1 on only devices that
   * ask for it are waited for, which none does here.
   */
  switchoverAck?: boolean;
  /**
   * Bytes per page, a power of two from 1024 to 512 KiB. The same at both ends. By default what an
   * image has, or what a source's stream tells; 4096 where there is neither.
   */
  pageSize?: number;
  /** Milliseconds for connecting, for the handshake, and for no progress at all (30000). */
  timeout?: number;
  /** Ends the migration with ERR_CANCELLED, whose `cause` is the signal's reason. */
  signal?: AbortSignal;
  /**
   * Called about five times a second from the first connection on, and once at the end. An error of
   * it is a warning, and changes nothing.
   */
  onProgress?: (statistics: MigrationStatistics) => void;
  /**
   * Run the channels as tasks of this thread instead of workers (false; where there are no workers,
   * or no shared memory, true).
   */
  inline?: boolean;
  /**
   * Instead of `uri`: a queue of connections, for a caller that accepts them with a server of its
   * own.
   */
  inbox?: ConnectionQueue;
  /**
   * For ws: and http: URIs, the token that a client has to show, as `Authorization: Bearer` (none).
   * The same at both ends.
   */
  token?: string;
  /** Handshakes under way at a time, and connections that have not said yet what they are (512). */
  maxConnections?: number;
  /** Cores that are compiled already: for where bytes may not be compiled. */
  modules?: CoreModules;
  /**
   * Starts a worker with the package's module `multifd/ROLE-worker`, a Web Worker of type `module`
   * or one of node:worker_threads: for bundlers that need another form, and for where workers need
   * an origin of their own. See docs/bundlers.md.
   */
  createWorker?: (role: WorkerRole) => RunningWorker;
}

/** The names of {@link MigrationOptions}. */
export const MIGRATION_NAMES = {
  channels: true,
  compression: true,
  uuid: true,
  switchoverAck: true,
  pageSize: true,
  timeout: true,
  signal: true,
  onProgress: true,
  inline: true,
  inbox: true,
  token: true,
  maxConnections: true,
  modules: true,
  createWorker: true,
} as const satisfies OptionNames<MigrationOptions>;

/**
 * Makes the connection of each channel, instead of `uri`: of `main`, and of 0 to channels - 1. An
 * error of it fails the migration.
 */
export type ConnectChannel = (channel: number | 'main') => ConnectionLike | Promise<ConnectionLike>;

export interface CheckedOptions {
  channels: number;
  compression: Compression;
  uuid: Uint8Array;
  switchoverAck: boolean;
  pageSize: number;
  /** What the caller said; undefined: `pageSize` is a default. */
  givenPageSize: number | undefined;
  timeout: number;
  signal: AbortSignal;
  onProgress: (statistics: MigrationStatistics) => void;
  inline: boolean;
  maxConnections: number;
  modules: CoreModules;
  worker: (role: WorkerRole) => WorkerModule;
}

/** @throws MultifdError ERR_OPTION. */
export function checkOptions(options: MigrationOptions): CheckedOptions {
  const { pageSize = DEFAULT_PAGE_SIZE } = options;
  checkPageSize(pageSize);
  const createWorker = givenFunction('createWorker', options.createWorker) ?? startOwnWorker;
  return {
    channels: integer('channels', options.channels ?? 2, 1, 255),
    compression: checkCompression(options.compression ?? 'none'),
    uuid: parseUuid(options.uuid),
    switchoverAck: options.switchoverAck ?? false,
    pageSize,
    givenPageSize: options.pageSize,
    // Node's timers hold no more than 2^31 - 1 milliseconds.
    timeout: integer('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    signal: givenSignal(options.signal) ?? new AbortController().signal,
    onProgress: observer('onProgress', options.onProgress),
    inline: options.inline === true || !hasThreads(),
    maxConnections: integer('max connections', options.maxConnections ?? 512, 1, 65536),
    modules: checkModules(options.modules),
    worker: (role) => () => createWorker(role),
  };
}

/** @throws MultifdError ERR_OPTION. */
export function checkPageSize(pageSize: number): void {
  if (!isPageSize(pageSize))
    throw new MultifdError(
      'ERR_OPTION',
      `page size ${inWords(pageSize)}: give a power of two from 1024 to 524288`,
    );
}

const CORES = { shared: true, plain: true } as const satisfies OptionNames<CoreModules>;

/** @throws MultifdError ERR_OPTION. */
function checkModules(modules: CoreModules = {}): CoreModules {
  givenOptions('modules', modules, CORES, 'an object with compiled cores');
  for (const kind of ['shared', 'plain'] as const) {
    const module = modules[kind];
    if (module !== undefined && !(module instanceof WebAssembly.Module))
      refuse(`modules, ${kind}`, module, 'a WebAssembly.Module, as compileCore() gives it');
  }
  return modules;
}

function parseUuid(uuid: ArrayBufferView | string | undefined): Uint8Array {
  if (uuid === undefined) return new Uint8Array(16);
  if (typeof uuid === 'string') {
    if (!/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(uuid))
      throw new MultifdError(
        'ERR_OPTION',
        `${JSON.stringify(uuid)} is no uuid such as 6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69`,
      );
    return fromHex(uuid.replaceAll('-', ''));
  }
  const bytes = givenBytes(
    'uuid',
    uuid,
    '16 bytes, or a text such as 6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69',
  );
  if (bytes.length !== 16)
    throw new MultifdError('ERR_OPTION', `a uuid has 16 bytes, not ${bytes.length}`);
  return bytes.slice();
}
