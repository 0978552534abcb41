import { MultifdError } from '../util/errors.ts';
import {
  printable,
  formatBytes,
  formatDuration,
  formatRate,
  printJson,
  printResult,
  formatTable,
  plural,
} from './output/format.ts';
import { type MigrationStatistics, StatisticsCollector } from '../migration/statistics.ts';
import { complain, printError } from './output/errors.ts';
import type { OutputOptions } from './options.ts';
import {
  createView,
  PAST,
  type ProgressBar,
  progressBar,
  type Verb,
  type View,
} from './output/progress.ts';
import type { RecordingStatistics } from '../recording/index.ts';

/** What a shell reports for a process that a signal ended. */
const STATUS_AFTER: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 };

const STDOUT_CLOSED = 'stdout closed';

/** What stopping in good order may take, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * Runs a command's work to its exit status. The first SIGINT or SIGTERM fires the work's signal, so
 * that both ends stop in good order; a second one ends the process at once, and so does the first,
 * some seconds later, when something does not stop. When stdout has no reader any more, the work is
 * stopped too, and quietly.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  let over = false;
  const interrupt = (name: NodeJS.Signals): void => {
    if (signal.aborted) return end(name);
    controller.abort(name);
    // Also once the work is over: a thread that is still in a system call keeps the process.
    setTimeout(() => {
      const message = `${name}, and not all stopped within ${GRACE_MS / 1000} s`;
      if (!over) printError(new MultifdError('ERR_CANCELLED', message));
      end(name);
    }, GRACE_MS).unref();
  };
  // As the signal would have done without us. To exit waits for every thread, and one may be in a
  // read that never ends.
  const end = (name: NodeJS.Signals): void => {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    process.kill(process.pid, name);
  };
  const closed = (): void => controller.abort(STDOUT_CLOSED);
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  process.stdout.on('error', closed);
  try {
    await work(signal);
    return 0;
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    if (signal.reason !== STDOUT_CLOSED) printError(error);
    return statusOf(error, signal.reason);
  } finally {
    over = true;
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    process.stdout.off('error', closed);
  }
}

/**
 * 2 for what the caller asked for wrongly, 1 for what went wrong, and a signal's own status after
 * it.
 */
export function statusOf({ code }: MultifdError, reason?: unknown): number {
  if (code === 'ERR_CANCELLED') return STATUS_AFTER[String(reason)] ?? 1;
  return code === 'ERR_OPTION' || code === 'ERR_URI' ? 2 : 1;
}

/** What a migration gets from the command that runs it. */
export interface Surroundings {
  signal: AbortSignal;
  onProgress: (statistics: MigrationStatistics) => void;
}

/** Tells of connections that were refused or dropped. */
export function reportRejected({ quiet }: OutputOptions): (why: string) => void {
  return (why) => {
    if (!quiet) complain(why);
  };
}

/** Statistics of a migration that has not begun. */
export function noStatistics(pageSize = 4096): MigrationStatistics {
  return new StatisticsCollector(pageSize).snapshot();
}

/**
 * Runs one end of a migration and shows it.
 * @param verb what the progress bar says is being done.
 * @param to where the summary goes.
 * @returns the exit status.
 */
export async function runMigration(
  options: OutputOptions & { pageSize?: number },
  verb: Verb,
  migrate: (surroundings: Surroundings, view: View) => Promise<MigrationStatistics>,
  to: NodeJS.WriteStream = process.stdout,
): Promise<number> {
  const view = createView(options, verb, to);
  let latest = noStatistics(options.pageSize);
  const onProgress = (statistics: MigrationStatistics): void => {
    latest = statistics;
    // A receiver may wait for hours before there is anything to tell.
    if (statistics.blocks.length > 0) view.progress(statistics);
  };
  return interruptible(async (signal) => {
    try {
      const statistics = await migrate({ signal, onProgress }, view);
      view.ended(statistics);
      // Complete here all the same: exit status 0.
      if (statistics.confirmed === false)
        complain(
          'warning: complete, but the source was gone before it could be told: it may take the ' +
            'migration for failed, and go on',
        );
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      view.ended(latest, error);
      throw error;
    }
  });
}

/** What recording and replaying get from the command that runs them. */
interface RecordingSurroundings {
  signal: AbortSignal;
  onProgress: (statistics: RecordingStatistics) => void;
  /** To be called with where it listens, if it does. */
  listening: (uri: string) => void;
}

const NOTHING: RecordingStatistics = {
  'total-time': 0,
  transferred: 0,
  total: 0,
  'precopy-bytes': 0,
  channels: [],
  ram: null,
};

/**
 * Records or replays, and shows it as a migration is shown.
 * @param verb what the progress bar says is being done.
 * @returns the exit status.
 */
export async function runRecording(
  { json, quiet, verbose }: OutputOptions,
  verb: Verb,
  work: (surroundings: RecordingSurroundings) => Promise<RecordingStatistics>,
): Promise<number> {
  const bar = progressBar(verb);
  let latest = NOTHING;
  const onProgress = (statistics: RecordingStatistics): void => {
    latest = statistics;
    if (json) printJson({ event: 'progress', ...statistics });
    else if (!quiet) showTraffic(bar, statistics);
  };
  const listening = (uri: string): void => {
    if (json) printJson({ event: 'listening', uri });
    else if (!quiet) process.stderr.write(`listening on ${printable(uri)}\n`);
  };
  return interruptible(async (signal) => {
    try {
      const statistics = await work({ signal, onProgress, listening }).finally(() => bar.stop());
      if (json) printResult(statistics);
      else if (!quiet)
        process.stdout.write(
          `${verbose ? `${trafficTable(statistics)}\n` : ''}${PAST[verb]} ` +
            `${trafficSummary(statistics)}\n`,
        );
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (json) printResult(latest, error);
      throw error;
    }
  });
}

/** Megabits per second. */
function rate({ 'total-time': milliseconds, transferred }: RecordingStatistics): number {
  return milliseconds === 0 ? 0 : (transferred * 8) / 1000 / milliseconds;
}

/** By what is known: bytes of all connections, or pages of the RAM. */
function showTraffic(bar: ProgressBar, statistics: RecordingStatistics): void {
  const { transferred, total, ram } = statistics;
  if (ram === null) bar.update(transferred, total, rate(statistics));
  else bar.update(ram.total - ram.remaining, ram.total, rate(statistics));
}

function trafficSummary(statistics: RecordingStatistics): string {
  const { 'total-time': totalTime, transferred, channels } = statistics;
  return (
    `${formatBytes(transferred)} on ${plural(channels.length, 'channel')}, ` +
    `${formatDuration(totalTime)}, ${formatRate(rate(statistics))}`
  );
}

function trafficTable({
  transferred,
  'precopy-bytes': main,
  channels,
}: RecordingStatistics): string {
  const rows = channels.map(({ id, bytes }) => [`channel ${id}`, bytes]);
  return formatTable(['', 'bytes'], [...rows, ['main', main], ['total', transferred]]);
}
