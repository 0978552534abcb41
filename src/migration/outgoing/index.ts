import { parseEndpoint } from '../../transport/endpoint.ts';
import { answering } from '../../util/checks.ts';
import { givenOptions } from '../../util/options.ts';
import { type Progress, type PromiseWithProgress, withProgress } from '../../util/progress.ts';
import { type MigrationStatistics, StatisticsCollector } from '../statistics.ts';
import { openContent } from './content.ts';
import { openDestination } from './destination.ts';
import { checkOutgoing, OUTGOING_NAMES, type OutgoingOptions } from './options.ts';
import { postcopyPlan, singlePass } from './rounds.ts';

export type { OutgoingOptions, ZeroPageDetection } from './options.ts';

/**
 * The outgoing end of a migration: sends memories, or an image, to a listening target or into a
 * mapped-ram image. Each page is sent once; memory that is written meanwhile is for `Guest`.
 *
 * With a return path it resolves once the target has everything in place. Until then, and whatever
 * happens, nothing at the source has changed.
 * @returns a promise of the statistics at the end, with `progress` to iterate.
 * @throws MultifdError: the first thing that went wrong, at either end. Before anything is sent
 *   ERR_OPTION, ERR_URI, ERR_EXISTS, ERR_IO, ERR_TLS, ERR_CODEC; of the way ERR_CONNECT,
 *   ERR_LISTEN, ERR_AUTH, ERR_TIMEOUT, ERR_PEER_CLOSED; ERR_REMOTE if the target says that it
 *   failed; ERR_IO if a file has changed while it was sent; ERR_CANCELLED after the signal.
 */
export function send(options: OutgoingOptions): PromiseWithProgress<MigrationStatistics> {
  return withProgress((progress) => sendTelling(options, progress));
}

/** The same, for an entry that makes the promise itself. */
export function sendTelling(
  options: OutgoingOptions,
  progress: Progress<MigrationStatistics>,
): Promise<MigrationStatistics> {
  return answering(() => sendChecked(givenOptions('send', options, OUTGOING_NAMES), progress));
}

async function sendChecked(
  options: OutgoingOptions,
  progress: Progress<MigrationStatistics>,
): Promise<MigrationStatistics> {
  const endpoint = parseEndpoint(options);
  const given = checkOutgoing(options);
  const checked = { ...given, onProgress: progress.beside(given.onProgress) };
  const destination = await openDestination(endpoint, options, checked);
  const statistics = new StatisticsCollector(checked.pageSize);
  const plan = checked.postcopy
    ? postcopyPlan({ rounds: checked.postcopyAfter, resume: checked.resume })
    : singlePass(options.deviceState ?? []);
  try {
    const content = await openContent(options, checked.givenPageSize);
    // An image says it, if the caller does not.
    checked.pageSize = statistics.pageSize = content.pageSize;
    try {
      await destination.carry(content, statistics, plan);
    } finally {
      statistics.end();
      checked.onProgress(statistics.snapshot());
      await content.close();
    }
  } finally {
    destination.close();
  }
  return statistics.snapshot();
}
