import type { MultifdError } from '../../util/errors.ts';
import type { MigrationStatistics } from '../../migration/statistics.ts';
import { printable } from './format.ts';
import { printJson, printResult } from './json.ts';
import type { OutputOptions } from '../options.ts';
import { progressBar } from './progress.ts';
import { migrationTable } from './report.ts';

/** How one migration is shown. */
export interface View {
  listening(uri: string): void;
  progress(statistics: MigrationStatistics): void;
  /**
   * @param error why it failed or was cancelled; undefined when it completed. The error itself is
   *   printed by whoever ends the process.
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
