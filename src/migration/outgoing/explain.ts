import { INITIAL_LENGTH, pagesPerPacket, ramHeaderLength } from '../../core/index.ts';
import { MultifdError } from '../../util/errors.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { CheckedOutgoing } from './options.ts';
import type { ReturnPath } from './return-path.ts';

interface Circumstances {
  checked: CheckedOutgoing;
  returnPath: ReturnPath | undefined;
  statistics: StatisticsCollector;
}

/**
 * An error with what it may be due to, or what it leaves open, that can't be seen where it happens.
 */
export function explained(
  error: MultifdError,
  { checked, returnPath, statistics }: Circumstances,
): MultifdError {
  const { code, channel, offset } = error;
  const withHint = (hint: string): MultifdError =>
    Object.assign(
      MultifdError.fromRecord({ ...error.toRecord(), message: `${error.message}; ${hint}` }),
      // What it was cancelled with stays at hand.
      { cause: code === 'ERR_CANCELLED' ? error.cause : error },
    );
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
