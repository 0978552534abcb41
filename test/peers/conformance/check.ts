import type { ErrorCode } from 'multifd';

/** The few assertions that the cases need; no test runner runs on every runtime. */
export class Failure extends Error {}

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Failure(what);
}

/** Compares by what JSON makes of the two. */
export function equal(found: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  check(a === b, `${what}: found ${a}, expected ${b}`);
}

export function sameBytes(found: Uint8Array, expected: Uint8Array, what: string): void {
  equal(found.length, expected.length, `${what}, length`);
  for (let at = 0; at < found.length; at++)
    if (found[at] !== expected[at])
      throw new Failure(`${what}: byte ${at} is ${found[at]}, not ${expected[at]}`);
}

/**
 * The code of the error with which it has to fail; its message too.
 * @throws Failure if it does not, or with an error without a code.
 */
export async function errorOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  let error: unknown;
  try {
    await work;
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) throw new Failure('it did not fail');
  const { code, message } = error as { code?: string; message?: string };
  if (code === undefined) throw new Failure(`it failed without a code: ${error as Error}`);
  return { code, message: message ?? '' };
}

export async function fails(
  work: Promise<unknown>,
  codes: ErrorCode | readonly ErrorCode[],
  what: string,
): Promise<string> {
  const { code, message } = await errorOf(work);
  check(
    [codes].flat().includes(code as ErrorCode),
    `${what}: found ${code} (${message}), expected ${[codes].flat().join(' or ')}`,
  );
  return message;
}
