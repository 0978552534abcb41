import { MultifdError } from '../util/errors.ts';
import { integer, inWords, number } from '../util/checks.ts';
import { namesBut, type OptionNames } from '../util/options.ts';
import { observer } from '../util/callbacks.ts';
import {
  type CheckedOutgoing,
  checkOutgoing,
  OUTGOING_NAMES,
  type OutgoingOptions,
} from '../migration/outgoing/options.ts';
import type { LiveStatistics, Round } from './statistics.ts';

/**
 * What `guest.migrate` takes: what `send` takes, but for what the guest has, and how rounds are
 * made. Names and defaults are QEMU's where QEMU has them.
 */
export interface LiveMigrationOptions
  extends Omit<
    OutgoingOptions,
    | 'blocks'
    | 'image'
    | 'imageOffset'
    | 'deviceState'
    | 'zeroPageDetection'
    | 'returnPath'
    | 'pageSize'
    | 'onProgress'
    | 'postcopy'
    | 'postcopyAfter'
    | 'postcopyPreempt'
    | 'resume'
  > {
  /**
   * Milliseconds: the program is stopped when the rest is expected to take no longer than this
   * (300).
   */
  downtimeLimit?: number;
  /** After so many rounds of which none was short enough, `onMaxRounds` holds (100). */
  maxRounds?: number;
  /** What then: fail, and leave the program running here (fail), or stop it all the same. */
  onMaxRounds?: 'fail' | 'stop';
  /**
   * Throttle a program that changes its memory as fast as it is sent: by 20 %, then 10 % more each
   * time, up to 99 % (false).
   */
  autoConverge?: boolean;
  /**
   * Called after each round while the program runs. An error of it is a warning, and changes
   * nothing.
   */
  onRound?: (round: Round) => void;
  /**
   * Called about five times a second, and once at the end. An error of it is a warning, and changes
   * nothing.
   */
  onProgress?: (statistics: LiveStatistics) => void;
}

const POSTCOPY = ['postcopy', 'postcopyAfter', 'postcopyPreempt', 'resume'] as const;

/** The names of {@link LiveMigrationOptions}. */
export const LIVE_NAMES = {
  ...namesBut(
    OUTGOING_NAMES,
    'blocks',
    'image',
    'imageOffset',
    'deviceState',
    'zeroPageDetection',
    'returnPath',
    'pageSize',
    ...POSTCOPY,
  ),
  downtimeLimit: true,
  maxRounds: true,
  onMaxRounds: true,
  autoConverge: true,
  onRound: true,
} as const satisfies OptionNames<LiveMigrationOptions>;

/** What `guest.snapshot` takes; see {@link LiveMigrationOptions} for what both have. */
export interface SnapshotOptions
  extends Pick<
    LiveMigrationOptions,
    | 'channels'
    | 'machine'
    | 'maxBandwidth'
    | 'downtimeLimit'
    | 'maxRounds'
    | 'onMaxRounds'
    | 'autoConverge'
    | 'onRound'
    | 'onProgress'
    | 'timeout'
    | 'signal'
    | 'inline'
  > {
  /** The image. */
  path: string;
  /** Replace a file that is there and is not this guest's last snapshot (false). */
  force?: boolean;
}

/** The names of {@link SnapshotOptions}. */
export const SNAPSHOT_NAMES = {
  path: true,
  force: true,
  channels: true,
  machine: true,
  maxBandwidth: true,
  downtimeLimit: true,
  maxRounds: true,
  onMaxRounds: true,
  autoConverge: true,
  onRound: true,
  onProgress: true,
  timeout: true,
  signal: true,
  inline: true,
} as const satisfies OptionNames<SnapshotOptions>;

export interface CheckedLive extends CheckedOutgoing {
  downtimeLimit: number;
  maxRounds: number;
  onMaxRounds: 'fail' | 'stop';
  autoConverge: boolean;
  onRound: (round: Round) => void;
}

/**
 * A program of the caller's reads its memory as it is, and can't be held back at a page.
 * @throws MultifdError ERR_UNSUPPORTED.
 */
export function refusePostcopy(options: object | undefined): void {
  const given: Partial<OutgoingOptions> = options ?? {};
  const asked = POSTCOPY.find((name) => given[name]);
  if (asked === undefined) return;
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `${asked}: a guest of this kind can't run before its memory has come, since nothing holds it ` +
      'back at a page that is missing; a QEMU can: send() its image',
  );
}

/** @throws MultifdError ERR_OPTION. */
export function checkLive(options: LiveMigrationOptions, pageSize: number): CheckedLive {
  const { onMaxRounds = 'fail', onProgress, ...outgoing } = options;
  if (onMaxRounds !== 'fail' && onMaxRounds !== 'stop')
    throw new MultifdError('ERR_OPTION', `onMaxRounds ${inWords(onMaxRounds)}: give fail or stop`);
  return {
    // The scan knows zero pages where it can scan them in place; what it can't, the channels
    // find.
    ...checkOutgoing({ ...outgoing, pageSize, zeroPageDetection: 'multifd', returnPath: true }),
    onProgress: observer('onProgress', onProgress) as CheckedOutgoing['onProgress'],
    downtimeLimit: number('downtime limit', options.downtimeLimit ?? 300, 0, 2_000_000),
    maxRounds: integer('max rounds', options.maxRounds ?? 100, 1, Number.MAX_SAFE_INTEGER),
    onMaxRounds,
    autoConverge: options.autoConverge ?? false,
    onRound: observer('onRound', options.onRound),
  };
}
