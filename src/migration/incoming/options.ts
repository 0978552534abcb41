import { imageSink } from '#images';
import { MultifdError } from '../../util/errors.ts';
import type { ImageStore } from '../../image/sinks/store-sink.ts';
import {
  type BlockTargets,
  givenTarget,
  type IncomingSink,
  memorySink,
} from '../../blocks/targets.ts';
import type { IncomingTls } from '../../transport/sockets/tls-credentials.ts';
import { DEFAULT_MAX_TAIL } from '../../stream/index.ts';
import type { DeviceState } from '../../blocks/payloads.ts';
import { observer } from '../../util/callbacks.ts';
import { givenFunction, givenMethods, givenPath, integer, refuse } from '../../util/checks.ts';
import type { OptionNames } from '../../util/options.ts';
import {
  type CheckedOptions,
  checkOptions,
  MIGRATION_NAMES,
  type MigrationOptions,
} from '../options.ts';

/**
 * What `receive` takes: where from, where to, and how. Give `uri` or `inbox`, and `blocks` or
 * `image`.
 */
export interface IncomingOptions extends MigrationOptions {
  /**
   * `tcp:HOST:PORT` (port 0: any free one), `unix:PATH`, `ws://HOST:PORT/PATH` or
   * `http://HOST:PORT/PATH` (either takes both; also `wss:`, `https:`), or `file:PATH[,offset=N]`
   * to load a mapped-ram image.
   */
  uri?: string | URL;
  /** Connect to `uri`: it is the source that listens (false). */
  connect?: boolean;
  /**
   * Of which origins a page may come to a ws: or http: URI that we listen at, as browsers send
   * them, such as `https://example.com`, or `*` for any. Without a token none but those may come
   * (none); with one any, unless they are given too.
   */
  origins?: readonly string[];
  /** Memories to receive into, or `image`. */
  blocks?: BlockTargets;
  /**
   * These memories are zero all over (false). Then a page that comes as zero is not even looked at,
   * unless the migration has written it before: as it is with the RAM of a QEMU that waits for its
   * source. Memory that says so and is not zero keeps what it had.
   */
  zeroed?: boolean;
  /** A mapped-ram image to write: its path, or a place of the caller's own. */
  image?: string | ImageStore;
  /** Replace an image that is there (false). */
  force?: boolean;
  /** The most bytes all blocks together may have (1 TiB). */
  maxBytes?: number;
  /** The most bytes that one DEVICE_STATE packet may bring (16 MiB). */
  deviceStateLimit?: number;
  /**
   * The most bytes of state that is no RAM (64 MiB): of device sections behind the RAM, and of
   * DEVICE_STATE packets, each with some 800 bytes more, as much again. On the way to an image in a
   * file the sections are not kept in memory; all else is, until the migration ends.
   */
  maxDeviceState?: number;
  /**
   * Called for each piece of device state once all pages are in place, in order for each channel.
   * Into an image they go by themselves.
   */
  onDeviceState?: (state: DeviceState) => void | Promise<void>;
  /**
   * Called last, once every page is in place and `onDeviceState` has had everything, and before the
   * source is told: the program may run here now. If it throws, the migration fails with that, and
   * the program goes on at the source. Not with `image`.
   */
  start?: () => void | Promise<void>;
  /**
   * Postcopy: told when the source has been lost while it alone had pages that are missing here.
   * It is waited for. An error of it is a warning.
   */
  onPaused?: (why: string) => void;
  /** Postcopy: milliseconds that a lost source has to come back (600000). */
  recoveryTimeout?: number;
  /** TLS on every connection (none). The source has to use it too. */
  tls?: IncomingTls;
  /**
   * Told of connections that were dropped because they were no migration's, and of those that
   * failed their TLS handshake. An error of it is a warning.
   */
  onRejected?: (why: string) => void;
}

/** The names of {@link IncomingOptions}. */
export const INCOMING_NAMES = {
  ...MIGRATION_NAMES,
  uri: true,
  connect: true,
  origins: true,
  blocks: true,
  zeroed: true,
  image: true,
  force: true,
  maxBytes: true,
  deviceStateLimit: true,
  maxDeviceState: true,
  onDeviceState: true,
  start: true,
  onPaused: true,
  recoveryTimeout: true,
  tls: true,
  onRejected: true,
} as const satisfies OptionNames<IncomingOptions>;

export interface CheckedIncoming extends CheckedOptions {
  /** It is this end that connects. */
  connects: boolean;
  onPaused: (why: string) => void;
  recoveryTimeout: number;
  maxBytes: number;
  deviceStateLimit: number;
  maxDeviceState: number;
  onRejected: (why: string) => void;
}

/** As long as somebody may take to see that a source has paused, and to let it come back. */
const RECOVERY_MS = 600_000;
const TIB = 2 ** 40;
const MIB = 2 ** 20;

/** @throws MultifdError ERR_OPTION. */
export function checkIncoming(options: IncomingOptions): CheckedIncoming {
  const { maxDeviceState = DEFAULT_MAX_TAIL } = options;
  if (options.start !== undefined && options.image !== undefined)
    throw new MultifdError(
      'ERR_OPTION',
      'nothing starts from an image that is being written: leave start out, or give blocks',
    );
  for (const name of ['start', 'onDeviceState'] as const) givenFunction(name, options[name]);
  return {
    ...checkOptions(options),
    connects: options.connect ?? false,
    onPaused: observer('onPaused', options.onPaused),
    recoveryTimeout: integer(
      'recovery timeout',
      options.recoveryTimeout ?? RECOVERY_MS,
      1,
      2 ** 31 - 1,
    ),
    maxBytes: integer('max bytes', options.maxBytes ?? TIB, 0, Number.MAX_SAFE_INTEGER),
    deviceStateLimit: integer(
      'device state limit',
      options.deviceStateLimit ?? 16 * MIB,
      1,
      2 ** 31,
    ),
    maxDeviceState: integer('max device state', maxDeviceState, 1, 2 ** 32),
    onRejected: observer('onRejected', options.onRejected),
  };
}

/** @throws MultifdError ERR_OPTION; ERR_EXISTS and ERR_IO for an image. */
export async function openSink({
  blocks,
  zeroed = false,
  image,
  force = false,
  onDeviceState = () => {},
  start,
}: IncomingOptions): Promise<IncomingSink> {
  if ((image === undefined) === (blocks === undefined))
    throw new MultifdError('ERR_OPTION', 'give either blocks or an image');
  if (image === undefined) {
    checkTargets(blocks);
    return memorySink(blocks, zeroed, onDeviceState, start);
  }
  if (typeof image === 'string') return imageSink({ path: givenPath('image', image), force });
  givenMethods(
    'image',
    image,
    ['begin', 'commit', 'discard'],
    'a path, as a string, or { begin, commit, discard }',
  );
  return (await import('../../image/sinks/store-sink.ts')).storeSink(image);
}

/**
 * What a function gives is checked once a source has named its blocks.
 * @throws MultifdError ERR_OPTION.
 */
function checkTargets(blocks: unknown): asserts blocks is BlockTargets {
  if (typeof blocks === 'function') return;
  if (typeof blocks !== 'object' || blocks === null || Array.isArray(blocks))
    refuse('blocks', blocks, 'an object with a target for each name, or a function');
  for (const [id, target] of Object.entries(blocks)) givenTarget(id, target);
}
