import { MultifdError } from '../util/errors.ts';
import { printable } from './output/format.ts';

/** What a shell reports for a process that a signal ended. */
const STATUS_AFTER: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 };

const STDOUT_CLOSED = 'stdout closed';

/** What stopping in good order may take, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * Runs a command's work to its exit status. The first SIGINT or SIGTERM fires the work's signal, so
 * that both ends stop in good order; a second one ends the process at once, and so does the first,
 * some seconds later, when something does not stop. When nobody reads stdout any more, the work is
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

export function printError({ code, message }: MultifdError): void {
  process.stderr.write(`multifd: ${code}: ${printable(message)}\n`);
}
