import { Worker } from 'node:worker_threads';

/**
 * A worker has its process's flags. Of those that one can start with (tried on Node 20, 24 and 26),
 * only --input-type keeps it from running a file: a program given by -e or on standard input has
 * it. Flags of its own would cost the worker all others.
 */
export function canRunFiles(): boolean {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''];
  return !flags.some((flag) => flag.includes('--input-type'));
}

/** A worker that is a text, which loads the file. */
export function textWorker(file: URL, name: string): Worker {
  return new Worker(`import(${JSON.stringify(file.href)})`, { eval: true, name });
}
