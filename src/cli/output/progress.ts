import cliProgress from 'cli-progress';
import { formatBytes, formatRate } from './format.ts';

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
