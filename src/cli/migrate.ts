import { MultifdError } from '../util/errors.ts';
import { type MigrationStatistics, StatisticsCollector } from '../migration/statistics.ts';
import { printable } from './output/format.ts';
import type { OutputOptions } from './options.ts';
import { interruptible } from './run.ts';
import { createView, type View } from './output/view.ts';

/** What a migration gets from the command that runs it. */
export interface Surroundings {
  signal: AbortSignal;
  onProgress: (statistics: MigrationStatistics) => void;
}

/** Tells of connections that were refused or dropped. */
export function reportStranger({ quiet }: OutputOptions): (why: string) => void {
  return (why) => {
    if (!quiet) process.stderr.write(`multifd: ${printable(why)}\n`);
  };
}

/** Statistics of a migration that has not begun. */
export function noStatistics(pageSize: number): MigrationStatistics {
  return new StatisticsCollector(pageSize).snapshot();
}

/**
 * Runs one end of a migration and shows it.
 * @param verb what the progress bar says is being done.
 * @returns the exit status.
 */
export async function runMigration(
  options: OutputOptions & { pageSize: number },
  verb: string,
  migrate: (surroundings: Surroundings, view: View) => Promise<MigrationStatistics>,
): Promise<number> {
  const view = createView(options, verb);
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
        process.stderr.write(
          'multifd: warning: complete, but the source was gone before it could be told: it ' +
            'may take the migration for failed, and go on\n',
        );
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      view.ended(latest, error);
      throw error;
    }
  });
}
