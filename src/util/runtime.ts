import { MultifdError } from './errors.ts';

/**
 * Whether this is Node itself, and not a runtime that has modules like Node's: for what leans on
 * how Node is made.
 */
export function isNode(): boolean {
  return process.versions['deno'] === undefined && process.versions['bun'] === undefined;
}

/**
 * Reports an error that changes nothing: as the process's `warning` event, or, where there is no
 * process, as the platform reports a listener that throws.
 */
export function warn(error: Error): void {
  const { process } = globalThis as { process?: { emitWarning?(error: Error): void } };
  if (process?.emitWarning !== undefined) process.emitWarning(error);
  else if (typeof reportError === 'function') reportError(error);
  else console.error(error);
}

/** For what there is on Node, Deno and Bun only. @param what a plural, such as `files`. */
export function unsupported(what: string): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `there are no ${what} in this runtime: only the entry for Node, Deno and Bun has them`,
  );
}
