import { viewOf } from './bytes.ts';
import { MultifdError, type ErrorCode } from './errors.ts';

/**
 * Checks of what callers give, since not all of them have a compiler that does: what does not fit
 * is refused by its name.
 */

const LONGEST = 100;

/** What a value is, in a few words; for messages. Never throws, for any value. */
export function inWords(value: unknown): string {
  try {
    if (typeof value === 'string')
      return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}...` : value);
    if (typeof value === 'function') return 'a function';
    if (typeof value !== 'object' || value === null) return String(value);
    if (Array.isArray(value)) return 'an array';
    const name: unknown = (value.constructor as { name?: unknown } | undefined)?.name;
    return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object';
  } catch {
    return 'an object of a strange kind';
  }
}

/** @param give what it has to be. Throws MultifdError ERR_OPTION. */
export function refuse(
  name: string,
  value: unknown,
  give: string,
  code: ErrorCode = 'ERR_OPTION',
): never {
  throw new MultifdError(code, `${name}: ${inWords(value)} was given; give ${give}`);
}

/** @throws MultifdError ERR_OPTION. */
export function givenObject<T extends object>(
  name: string,
  value: T,
  give = 'an object with options',
): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    refuse(name, value, give);
  return value;
}

/** @throws MultifdError ERR_OPTION. */
export function givenArray<T>(name: string, value: readonly T[], give = 'an array'): readonly T[] {
  return Array.isArray(value) ? value : refuse(name, value, give);
}

/** @throws MultifdError ERR_OPTION. */
export function givenText(name: string, value: string, give = 'a string'): string {
  return typeof value === 'string' ? value : refuse(name, value, give);
}

/** @throws MultifdError ERR_OPTION. */
export function givenPath(name: string, value: string): string {
  return typeof value === 'string' && value !== '' && !value.includes('\0')
    ? value
    : refuse(name, value, 'a path, as a string');
}

/** A function, or nothing. @throws MultifdError ERR_OPTION. */
export function givenFunction<T>(name: string, value: T): T {
  return value === undefined || typeof value === 'function'
    ? value
    : refuse(name, value, 'a function, or leave it out');
}

/** @throws MultifdError ERR_OPTION. */
export function givenMethods<T extends object>(
  name: string,
  value: T,
  methods: readonly (keyof T & string)[],
  give: string,
): T {
  const has =
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    methods.every((method) => typeof value[method] === 'function');
  return has ? value : refuse(name, value, give);
}

/** The bytes of a view of any kind. @throws MultifdError ERR_OPTION. */
export function givenBytes(
  name: string,
  value: ArrayBufferView,
  give = 'a Uint8Array, or another view of bytes',
): Uint8Array {
  if (!ArrayBuffer.isView(value)) refuse(name, value, give);
  return bytesOfView(value);
}

/** The same bytes as a Uint8Array; itself, if it is one. */
export function bytesOfView(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : viewOf(view);
}

/** @throws MultifdError ERR_OPTION. */
export function givenSignal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined;
  return givenMethods(
    'signal',
    value,
    ['addEventListener', 'removeEventListener'],
    'an AbortSignal',
  );
}

/** @throws MultifdError ERR_OPTION. */
export function integer(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new MultifdError(
      'ERR_OPTION',
      `${name} ${inWords(value)}: give a whole number from ${least} to ${most}`,
    );
  return value;
}

/** @throws MultifdError ERR_OPTION. */
export function number(name: string, value: number, least: number, most: number): number {
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw new MultifdError(
      'ERR_OPTION',
      `${name} ${inWords(value)}: give a number from ${least} to ${most}`,
    );
  return value;
}

/** Of a public function that gives a promise: it rejects with a MultifdError, and never throws. */
export async function answering<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw MultifdError.from(thrown);
  }
}

/** Of a public function that gives its answer at once. @throws MultifdError. */
export function guarding<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw MultifdError.from(thrown);
  }
}
