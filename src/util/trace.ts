/**
 * Tells a migration's steps, by which one sees what it waits for: on standard error, with
 * `NODE_DEBUG=multifd` in the environment; or on the console, where the program has set
 * `globalThis.MULTIFD_DEBUG` to true.
 *
 *     MULTIFD 4711: source: round
 */

/** What there is of Node's `process`, if anything. */
interface Environment {
  process?: { pid?: number; env?: Record<string, string | undefined> };
  Deno?: unknown;
  MULTIFD_DEBUG?: unknown;
}

const scope = globalThis as Environment;

/** Deno asks its user before it gives a program its environment: there only the global counts. */
const asked =
  scope.Deno === undefined &&
  (scope.process?.env?.['NODE_DEBUG'] ?? '')
    .split(',')
    .some((name) => name.trim().toLowerCase() === 'multifd');

/**
 * @param who the end, and of a channel its id.
 * @param step what it does now; a function where that takes something to find out.
 */
export function trace(who: string, step: string | (() => string)): void {
  if (!asked && scope.MULTIFD_DEBUG !== true) return;
  const what = typeof step === 'string' ? step : step();
  console.error(`MULTIFD ${scope.process?.pid ?? ''}: ${who}: ${what}`);
}
