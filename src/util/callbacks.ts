import { warn } from './runtime.ts';
import { givenFunction, refuse } from './checks.ts';
import { MultifdError } from './errors.ts';

/**
 * Functions of the caller's are of two kinds. Observers are told something (onProgress, onRound,
 * onRejected): an error of theirs changes nothing, and is told as a warning. All others take part:
 * an error of theirs fails the migration while it can still fail, and is a warning afterwards.
 */

type Told<Args extends unknown[]> = (...args: Args) => void;

/**
 * An observer, which may throw, or be async and reject. The first error of each in each migration
 * is told; of a function that is called five times a second the others would say the same.
 * @throws MultifdError ERR_OPTION for what is no function.
 */
export function observer<Args extends unknown[]>(
  name: string,
  told: Told<Args> | undefined,
): Told<Args> {
  if (told === undefined) return () => {};
  givenFunction(name, told);
  let failed = false;
  const fail = (thrown: unknown): void => {
    if (!failed) warnOf(name, thrown);
    failed = true;
  };
  return (...args) => {
    try {
      // What an async function gives is none of the types' business, and may reject.
      Promise.resolve<unknown>(told(...args)).catch(fail);
    } catch (thrown) {
      fail(thrown);
    }
  };
}

/** Says that a function of the caller's has failed where that changes nothing. */
export function warnOf(name: string, thrown: unknown): void {
  const { code, message } = MultifdError.from(thrown);
  warn(
    new MultifdError(code, `${name} has failed, which changes nothing here: ${message}`, {
      cause: thrown,
    }),
  );
}

/** Calls a function of the caller's when the outcome stands: if it fails, that is a warning. */
export async function afterwards(name: string, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    warnOf(name, thrown);
  }
}

/**
 * What a function has given that is not waited for.
 * @throws MultifdError ERR_OPTION for a promise, whose value would be lost, and its rejection too.
 */
export function atOnce<T>(name: string, given: T): T {
  if (typeof (given as { then?: unknown } | undefined | null)?.then !== 'function') return given;
  Promise.resolve(given).catch(() => {});
  return refuse(`what ${name} gave`, given, 'the thing itself: it is not waited for');
}
