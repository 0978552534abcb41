import { MultifdError } from '../../util/errors.ts';
import { NO_DEVICE_STATE } from '../../channel/main-words.ts';
import type { ImageSource } from '../../image/access/open.ts';
import type { OutgoingTls } from '../../transport/sockets/tls-credentials.ts';
import type { DeviceState } from '../../blocks/payloads.ts';
import type { OutgoingBlock } from '../../blocks/sources.ts';
import type { OptionNames } from '../../util/options.ts';
import { givenFunction, givenText, integer, inWords } from '../../util/checks.ts';
import {
  type CheckedOptions,
  checkOptions,
  type ConnectChannel,
  MIGRATION_NAMES,
  type MigrationOptions,
} from '../options.ts';

/**
 * What looks for zero pages: nothing, the main thread (they go on the main channel then, as before
 * QEMU 9.0), or the channels. As `ZeroPageDetection` of QEMU's qapi/migration.json.
 */
export type ZeroPageDetection = 'none' | 'legacy' | 'multifd';

const DETECTIONS: readonly ZeroPageDetection[] = ['none', 'legacy', 'multifd'];

/** What `send` takes: what is sent, where to, and how. Give `uri`, `connect` or `inbox`. */
export interface OutgoingOptions extends MigrationOptions {
  /**
   * `tcp:HOST:PORT`, `unix:PATH`, `ws://HOST:PORT/PATH`, `http://HOST:PORT/PATH` (also `wss:`,
   * `https:`), or `file:PATH[,offset=N]` for a mapped-ram image, N in bytes.
   */
  uri?: string | URL;
  /** Instead of `uri`: opens the connection of each channel. */
  connect?: ConnectChannel;
  /** Listen at `uri`: it is the target that connects (false). ws: and http: take a token then. */
  listen?: boolean;
  /**
   * With `listen`: told where, with the port it got. If it throws, the migration fails, unless the
   * target has come already.
   */
  onListening?: (uri: string) => void;
  /**
   * With `listen`: told of connections that were refused or dropped. An error of it is a warning.
   */
  onRejected?: (why: string) => void;
  /** The memories to send, or `image`. */
  blocks?: readonly OutgoingBlock[];
  /**
   * A mapped-ram image to send, with its machine type and device sections. Only a path is read by
   * the channels themselves.
   */
  image?: ImageSource;
  /** Where the image starts in its file, in bytes (0). */
  imageOffset?: number;
  /** The most bytes of device sections that the image may have (64 MiB). */
  maxDeviceState?: number;
  /** Sent to the server of an image's URL, as `Authorization: Bearer`, and to no other server. */
  imageToken?: string;
  /**
   * State that is no RAM, sent after the pages as DEVICE_STATE packets. Each piece at most 511 KiB.
   */
  deviceState?: Iterable<DeviceState> | AsyncIterable<DeviceState>;
  /** The machine type to announce (none, QEMU's machine without anything). */
  machine?: string;
  /** What looks for zero pages (multifd). */
  zeroPageDetection?: ZeroPageDetection;
  /** How hard zlib tries, 0 to 9 (1). */
  zlibLevel?: number;
  /** How hard zstd tries, 1 to 20 (1). */
  zstdLevel?: number;
  /**
   * Send pages on multifd channels (true). Without, there is one connection, and the target has to
   * have it off as well; no compression, and no `deviceState`, then.
   */
  multifd?: boolean;
  /**
   * The target runs before its memory has come: it gets the devices' state first, then the pages
   * that it asks for, and all others meanwhile (false). A QEMU has to have postcopy-ram on. Without
   * multifd, unless `channels` is given, since QEMU has both at once from 10.1 on only.
   */
  postcopy?: boolean;
  /** With `postcopy`: rounds over the memory before that (0). */
  postcopyAfter?: number;
  /**
   * With `postcopy`: what is asked for goes on a connection of its own, as QEMU's postcopy-preempt
   * has it (false); the same at both ends. `connect` is asked for it with the number behind those
   * of the channels.
   */
  postcopyPreempt?: boolean;
  /**
   * Go on with a postcopy that was cut off: what is sent is what the target says it lacks (false).
   * Everything else has to be as it was.
   */
  resume?: boolean;
  /** Bytes per second (0: no limit). What a target asks for in postcopy is sent at once. */
  maxBandwidth?: number;
  /**
   * Ask the target to say when it has everything (true). Without it, success means that all was
   * handed to the network.
   */
  returnPath?: boolean;
  /**
   * Milliseconds that the target may take, once everything has been sent, to put it in place and
   * say so (600000), while it gives signs of life; without any, `timeout` holds. A program that was
   * stopped resumes at the source after that, and may run at the target as well: see `confirmed` of
   * the statistics.
   */
  commitTimeout?: number;
  /** TLS on every connection (none). The target has to use it too. */
  tls?: OutgoingTls;
  /** For `file:`, replace a file that is there (false). */
  force?: boolean;
}

/** The names of {@link OutgoingOptions}. */
export const OUTGOING_NAMES = {
  ...MIGRATION_NAMES,
  uri: true,
  connect: true,
  listen: true,
  onListening: true,
  onRejected: true,
  blocks: true,
  image: true,
  imageOffset: true,
  maxDeviceState: true,
  imageToken: true,
  deviceState: true,
  machine: true,
  zeroPageDetection: true,
  zlibLevel: true,
  zstdLevel: true,
  multifd: true,
  postcopy: true,
  postcopyAfter: true,
  postcopyPreempt: true,
  resume: true,
  maxBandwidth: true,
  returnPath: true,
  commitTimeout: true,
  tls: true,
  force: true,
} as const satisfies OptionNames<OutgoingOptions>;

/** How the connections come about. */
export type EndpointChoice = Pick<
  OutgoingOptions,
  'uri' | 'connect' | 'inbox' | 'listen' | 'token' | 'tls' | 'onListening' | 'onRejected'
>;

export interface CheckedOutgoing extends CheckedOptions {
  zeroPageDetection: ZeroPageDetection;
  zlibLevel: number;
  zstdLevel: number;
  /** False: pages go on the main channel, by one channel inside this thread. */
  multifd: boolean;
  /** The target may run before its memory has come. */
  postcopy: boolean;
  postcopyAfter: number;
  postcopyPreempt: boolean;
  /** Goes on after a break. */
  resume: boolean;
  maxBandwidth: number;
  returnPath: boolean;
  commitTimeout: number;
  force: boolean;
}

/**
 * An image of 100 GiB may have to wait for as much of it to reach a slow disk as the target's
 * memory could hold back, which takes minutes. To give up earlier costs more than to wait: the
 * target may finish all the same.
 */
const COMMIT_TIMEOUT_MS = 600_000;

/** @throws MultifdError ERR_OPTION. */
export function checkCommitTimeout(milliseconds: number | undefined): number {
  return integer('commit timeout', milliseconds ?? COMMIT_TIMEOUT_MS, 1, 2 ** 31 - 1);
}

/** @throws MultifdError ERR_OPTION. */
export function checkOutgoing(options: OutgoingOptions): CheckedOutgoing {
  const { zeroPageDetection = 'multifd' } = options;
  if (!DETECTIONS.includes(zeroPageDetection))
    throw new MultifdError(
      'ERR_OPTION',
      `zero page detection ${inWords(zeroPageDetection)}: give ${DETECTIONS.join(', ')}`,
    );
  const returnPath = options.returnPath ?? true;
  const common = checkOptions(options);
  for (const name of ['connect', 'onListening'] as const) givenFunction(name, options[name]);
  if (options.machine !== undefined) givenText('machine', options.machine);
  if (common.switchoverAck && !returnPath)
    throw new MultifdError(
      'ERR_OPTION',
      'switchoverAck comes on the return path: leave returnPath on',
    );
  const postcopy = checkPostcopy(options, returnPath);
  const multifd =
    options.multifd ?? (!postcopy.postcopy || (options.channels !== undefined && !postcopy.resume));
  if (!multifd) demandPlain(options);
  return {
    ...common,
    ...(!multifd && { channels: 1, inline: true }),
    // Without multifd there is one place where zero pages are looked for, if anywhere.
    zeroPageDetection: !multifd && zeroPageDetection === 'legacy' ? 'multifd' : zeroPageDetection,
    multifd,
    ...postcopy,
    zlibLevel: integer('zlib level', options.zlibLevel ?? 1, 0, 9),
    zstdLevel: integer('zstd level', options.zstdLevel ?? 1, 1, 20),
    maxBandwidth: integer('max bandwidth', options.maxBandwidth ?? 0, 0, Number.MAX_SAFE_INTEGER),
    returnPath,
    commitTimeout: checkCommitTimeout(options.commitTimeout),
    force: options.force ?? false,
  };
}

/** What multifd alone can do. @throws MultifdError ERR_OPTION. */
function demandPlain({ channels, compression = 'none', deviceState }: OutgoingOptions): void {
  if (channels !== undefined)
    throw new MultifdError('ERR_OPTION', 'without multifd there are no channels: leave them out');
  if (compression !== 'none')
    throw new MultifdError(
      'ERR_OPTION',
      'without multifd nothing is compressed: leave compression at none',
    );
  if (deviceState !== undefined) throw new MultifdError('ERR_OPTION', NO_DEVICE_STATE);
}

type CheckedPostcopy = Pick<
  CheckedOutgoing,
  'postcopy' | 'postcopyAfter' | 'postcopyPreempt' | 'resume'
>;

/** @throws MultifdError ERR_OPTION. */
function checkPostcopy(options: OutgoingOptions, returnPath: boolean): CheckedPostcopy {
  const { resume = false, postcopyPreempt = false, deviceState } = options;
  const postcopyAfter = integer('rounds before postcopy', options.postcopyAfter ?? 0, 0, 1000);
  const postcopy = options.postcopy ?? resume;
  const refuse = (why: string): never => {
    throw new MultifdError('ERR_OPTION', why);
  };
  if (!postcopy) {
    if (resume) refuse('it is postcopy that is resumed: leave postcopy out, or on');
    if (postcopyAfter > 0 || postcopyPreempt)
      refuse('postcopyAfter and postcopyPreempt are for postcopy: turn it on');
    return { postcopy, postcopyAfter, postcopyPreempt, resume };
  }
  if (!returnPath) refuse('in postcopy the target asks for pages: leave returnPath on');
  if (deviceState !== undefined)
    refuse('device state on channels comes after the pages: leave it out with postcopy');
  if (resume && postcopyAfter > 0) refuse('a postcopy that is resumed has had its rounds');
  if (resume && options.multifd) refuse('a postcopy is resumed on one connection: without multifd');
  if (resume && options.channels !== undefined)
    refuse('a postcopy is resumed on one connection: leave channels out');
  return { postcopy, postcopyAfter, postcopyPreempt, resume };
}
