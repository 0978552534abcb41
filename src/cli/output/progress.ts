import cliProgress from 'cli-progress';
import { formatBytes, formatRate, printable, printJson, printResult } from './format.ts';
import { columnsOf } from './lines.ts';
import type { MultifdError } from '../../util/errors.ts';
import type { MigrationStatistics } from '../../migration/statistics.ts';
import type { OutputOptions } from '../options.ts';
import { migrationSummary, migrationTable } from './report.ts';

export interface ProgressBar {
  /**
   * @param total 0 as long as it is not known.
   * @param rate megabits per second; without it, that of what is done.
   */
  update(done: number, total: number, rate?: number): void;
  stop(): void;
}

/** The longest and the shortest bar that is worth its place, in columns. */
const BAR = { most: 30, least: 6 } as const;

interface Shown {
  done: number;
  total: number;
  /** Megabits per second. */
  rate: number;
  /** Seconds since it began. */
  seconds: number;
  /** Seconds, if it can be told. */
  left: number | undefined;
}

/**
 * What a bar says, in as many columns as there are at most: the bar itself gives way first.
 * @param bar draws one of so many columns.
 */
export function progressLine(
  verb: string,
  { done, total, rate, seconds, left }: Shown,
  columns: number,
  bar: (size: number) => string,
): string {
  if (total === 0)
    return `${verb} ${formatBytes(done)}  ${formatRate(rate)}  ${clock(seconds)}`.slice(0, columns);
  const share = Math.min(100, Math.floor((done / total) * 100));
  const numbers = [
    `${share}%`.padStart(4),
    ` ${formatBytes(done)} of ${formatBytes(total)}`,
    `  ${formatRate(rate)}`,
    left === undefined ? '' : `  ${clock(left)} left`,
  ].join('');
  const room = Math.min(BAR.most, columns - `${verb}  ${numbers}`.length);
  const drawn = room < BAR.least ? '' : `${bar(room)} `;
  return `${verb} ${drawn}${numbers}`.slice(0, columns);
}

/** `1:05`, or `2:00:07` from an hour on. */
function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, '0');
  return hours === 0
    ? `${minutes}:${rest}`
    : `${hours}:${String(minutes).padStart(2, '0')}:${rest}`;
}

/**
 * A bar on stderr, drawn once there is something to do; nothing at all when stderr is no terminal.
 */
export function progressBar(verb: string): ProgressBar {
  const bar = new cliProgress.SingleBar(
    {
      stream: process.stderr,
      format: (options, params, payload: { rate: number | undefined }) => {
        const { value: done, total, startTime, progress, eta } = params;
        const seconds = (Date.now() - startTime) / 1000;
        const rate = payload.rate ?? (seconds > 0 ? (done * 8) / 1e6 / seconds : 0);
        // A word where it can't be told.
        const left = total > done && Number.isFinite(eta) ? eta : undefined;
        // Not the last column: a terminal may break the line behind it.
        const columns = columnsOf(process.stderr) - 1;
        return progressLine(verb, { done, total, rate, seconds, left }, columns, (barsize) =>
          cliProgress.Format.BarFormat(progress, { ...options, barsize }),
        );
      },
      hideCursor: true,
      // Signals are this program's own business.
      gracefulExit: false,
    },
    cliProgress.Presets.shades_classic,
  );
  const stop = (): void => {
    process.off('exit', stop);
    if (bar.isActive) bar.stop();
  };
  return {
    update(done, total, rate) {
      if (!process.stderr.isTTY || (total === 0 && done === 0)) return;
      if (bar.isActive) {
        bar.setTotal(total);
        bar.update(done, { rate });
      } else {
        bar.start(total, done, { rate });
        // The bar hides the cursor: a process that ends in a hurry has to give it back too.
        process.once('exit', stop);
      }
    },
    stop,
  };
}

/** How one migration is shown. */
export interface View {
  listening(uri: string): void;
  progress(statistics: MigrationStatistics): void;
  /**
   * @param error why it failed or was cancelled; undefined when it completed. The error itself is
   *   printed by the code that ends the process.
   */
  ended(statistics: MigrationStatistics, error?: MultifdError): void;
}

/** What a migration is called while it is on, and once it is over. */
export type Verb = 'sending' | 'receiving' | 'recording' | 'replaying';
export const PAST = {
  sending: 'sent',
  receiving: 'received',
  recording: 'recorded',
  replaying: 'replayed',
} as const satisfies Record<Verb, string>;

/**
 * @param verb what the progress bar says is being done.
 * @param to where the summary goes.
 */
export function createView(options: OutputOptions, verb: Verb, to: NodeJS.WriteStream): View {
  if (options.json) return jsonView();
  return options.quiet
    ? { listening() {}, progress() {}, ended() {} }
    : textView(verb, options.verbose === true, to);
}

function jsonView(): View {
  return {
    listening: (uri) => printJson({ event: 'listening', uri }),
    progress: (statistics) => printJson({ event: 'progress', ...statistics }),
    ended: printResult,
  };
}

function textView(verb: Verb, verbose: boolean, to: NodeJS.WriteStream): View {
  const bar = progressBar(verb);
  return {
    listening(uri) {
      process.stderr.write(`listening on ${printable(uri)}\n`);
    },
    progress({ ram }) {
      bar.update(ram.total - ram.remaining, ram.total, ram.mbps);
    },
    ended(statistics, error) {
      bar.stop();
      if (error !== undefined) return;
      const table = verbose ? `${migrationTable(statistics, to)}\n` : '';
      to.write(`${table}${PAST[verb]} ${migrationSummary(statistics)}\n`);
    },
  };
}
