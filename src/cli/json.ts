import type { MultifdError } from '../errors.ts';

/** One line of JSON Lines on stdout. */
export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** The last line of a command: how it ended, `content`, and why if it did not complete. */
export function printResult(content: object, error?: MultifdError): void {
  printJson({ event: eventOf(error), ...content, ...(error && { error: error.toRecord() }) });
}

function eventOf(error: MultifdError | undefined): 'completed' | 'failed' | 'cancelled' {
  if (error === undefined) return 'completed';
  return error.code === 'ERR_CANCELLED' ? 'cancelled' : 'failed';
}
