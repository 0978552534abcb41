import { INITIAL_LENGTH, pagesPerPacket, ramHeaderLength } from '../../core/index.ts';
import { MultifdError } from '../../util/errors.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { CheckedOutgoing } from './options.ts';
import type { PostcopyStage } from './postcopy.ts';
import type { ReturnPath } from './return-path.ts';

interface Circumstances {
  checked: CheckedOutgoing;
  returnPath: ReturnPath | undefined;
  statistics: StatisticsCollector;
  /** Undefined: postcopy was not asked for. */
  stage: PostcopyStage | undefined;
}

/**
 * An error with what it may be due to, or what it leaves open, that can't be seen where it happens.
 */
export function explained(
  error: MultifdError,
  { checked, returnPath, statistics, stage }: Circumstances,
): MultifdError {
  const { code, channel, offset } = error;
  const withHint = (hint: string): MultifdError =>
    Object.assign(
      MultifdError.fromRecord({ ...error.toRecord(), message: `${error.message}; ${hint}` }),
      // What it was cancelled with stays at hand.
      { cause: code === 'ERR_CANCELLED' ? error.cause : error },
    );
  const hint = stage && postcopyHint(error, stage, { checked, statistics });
  if (hint !== undefined) return withHint(hint);
  if (statistics.confirmed === false)
    return withHint(
      'everything had been sent, so that the target may have it, and run it, all the same',
    );
  const isClosed = code === 'ERR_PEER_CLOSED' || code === 'ERR_CONNECT';
  // A QEMU takes as many connections as it needs, with multifd off the main one, and drops those
  // that come after.
  if (
    isClosed &&
    typeof channel === 'number' &&
    (offset ?? 0) <= INITIAL_LENGTH + ramHeaderLength(pagesPerPacket(checked.pageSize))
  ) {
    return withHint(
      'a target drops what it has no use for: is multifd on there, and has it the ' +
        `${checked.channels} channels of here? (QEMU: migrate_set_capability multifd on, ` +
        `migrate_set_parameter multifd-channels ${checked.channels})`,
    );
  }
  if (code === 'ERR_TIMEOUT' && returnPath?.messages === 0)
    return withHint(
      `a target that waits for more channels than the ${checked.channels} here looks the ` +
        'same: set the same number at both ends',
    );
  return error;
}

/** What the stage of a postcopy says about an error. */
function postcopyHint(
  { code }: MultifdError,
  stage: PostcopyStage,
  { checked, statistics }: Pick<Circumstances, 'checked' | 'statistics'>,
): string | undefined {
  const isGone = code === 'ERR_PEER_CLOSED' || code === 'ERR_CONNECT' || code === 'ERR_REMOTE';
  if (stage === 'running') {
    const state =
      statistics.confirmed === false
        ? 'everything had been sent, so that the VM may run at the target with all of it, or is ' +
          'paused there'
        : 'the VM is paused at the target, with the memory that has come';
    return (
      `${state}: give it a new address (QEMU: migrate_recover tcp:HOST:PORT), and go on with ` +
      '`multifd send IMAGE URI --resume`'
    );
  }
  if (!isGone || statistics.confirmed === false) return undefined;
  if (stage === 'switching')
    return (
      'it was loading the devices, and has not said that it runs: its own output says why; or it ' +
      'is in postcopy-paused, and `multifd send IMAGE URI --resume` goes on'
    );
  if (stage === 'advised') return undefined;
  return checked.resume
    ? 'is it in postcopy-paused, and was it given this address (QEMU: migrate_recover)?'
    : 'is postcopy on there, and can it have userfaultfd? (QEMU: migrate_set_capability ' +
        'postcopy-ram on; its own output says what it lacks)';
}
