import { MultifdError } from '../util/errors.ts';
import type { RecordingStatistics } from '../recording/index.ts';
import { formatBytes, formatDuration, formatRate, printable } from './output/format.ts';
import { printJson, printResult } from './output/json.ts';
import type { OutputOptions } from './options.ts';
import { progressBar } from './output/progress.ts';
import { interruptible } from './run.ts';
import { formatTable } from './output/tables.ts';

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
};

/**
 * Records or replays, and shows it as a migration is shown.
 * @param verb what the progress bar says is being done.
 * @returns the exit status.
 */
export async function runRecording(
  { json, quiet }: OutputOptions,
  verb: string,
  work: (surroundings: RecordingSurroundings) => Promise<RecordingStatistics>,
): Promise<number> {
  const bar = progressBar(verb);
  let latest = NOTHING;
  const onProgress = (statistics: RecordingStatistics): void => {
    latest = statistics;
    if (json) printJson({ event: 'progress', ...statistics });
    else if (!quiet) bar.update(statistics.transferred, statistics.total, rate(statistics));
  };
  const listening = (uri: string): void => {
    if (json) printJson({ event: 'listening', uri });
    else if (!quiet) process.stderr.write(`listening on ${printable(uri)}\n`);
  };
  return interruptible(async (signal) => {
    try {
      const statistics = await work({ signal, onProgress, listening }).finally(() => bar.stop());
      if (json) printResult(statistics);
      else if (!quiet) process.stdout.write(`${trafficTable(statistics)}\n`);
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

function trafficTable(statistics: RecordingStatistics): string {
  const { 'total-time': totalTime, transferred, 'precopy-bytes': main, channels } = statistics;
  const rows = channels.map(({ id, bytes }) => [`channel ${id}`, bytes]);
  const summary = `${formatBytes(transferred)}, ${formatDuration(totalTime)}, ${formatRate(rate(statistics))}`;
  return formatTable(
    ['', 'bytes'],
    [...rows, ['main', main], ['total', transferred], [{ content: summary, colSpan: 2 }]],
  );
}
