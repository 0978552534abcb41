import cliProgress from 'cli-progress';
import { formatBytes, formatRate, printable, printJson, printResult } from './format.ts';
import type { MultifdError } from '../../util/errors.ts';
import type { MigrationStatistics } from '../../migration/statistics.ts';
import type { OutputOptions } from '../options.ts';
import { migrationTable } from './report.ts';

export interface ProgressBar {
  /** @param rate megabits per second, if it is known. */
  update(done: number, total: number, rate?: number): void;
  stop(): void;
}

/**
 * One bar on stderr, drawn once there is something to do; nothing at all when stderr is no
 * terminal.
 */
export function progressBar(verb: string): ProgressBar {
  const bar = new cliProgress.SingleBar(
    {
      stream: process.stderr,
      format: `${verb} {bar} {percentage}%  {done} of {size}  {rate}`,
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
      if (!process.stderr.isTTY || total === 0) return;
      const payload = {
        done: formatBytes(done),
        size: formatBytes(total),
        rate: rate === undefined ? '' : formatRate(rate),
      };
      if (bar.isActive) bar.update(done, payload);
      else {
        bar.start(total, done, payload);
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

/** @param verb what the progress bar says is being done. */
export function createView({ json, quiet }: OutputOptions, verb: string): View {
  if (json) return jsonView();
  return quiet ? { listening() {}, progress() {}, ended() {} } : textView(verb);
}

function jsonView(): View {
  return {
    listening: (uri) => printJson({ event: 'listening', uri }),
    progress: (statistics) => printJson({ event: 'progress', ...statistics }),
    ended: printResult,
  };
}

function textView(verb: string): View {
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
      if (error === undefined) process.stdout.write(`${migrationTable(statistics)}\n`);
    },
  };
}
