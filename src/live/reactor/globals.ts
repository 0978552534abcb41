import { MultifdError } from '../../util/errors.ts';

/** `float` is a NaN, of which can't be said whether it is 32 or 64 bits wide. */
const NUMBER_TYPES = ['i32', 'i64', 'f32', 'f64', 'float'] as const;
const NOTHING_TYPES = ['null', 'undefined'] as const;

type NumberType = (typeof NUMBER_TYPES)[number];

/**
 * What a global holds, in a way that keeps every number as JavaScript sees it; `bits` in 16
 * hexadecimal digits.
 */
export type GlobalValue =
  | { type: NumberType; bits: string }
  | { type: (typeof NOTHING_TYPES)[number] };

export type GlobalKind = 'constant' | 'number' | 'reference';

/**
 * What a global is; its value stays as it is to the last bit, also that of a NaN, which a set would
 * not leave.
 * @throws MultifdError ERR_GUEST when JavaScript can't read it (v128).
 */
export function kindOfGlobal(name: string, global: WebAssembly.Global): GlobalKind {
  let value: unknown;
  try {
    value = global.value;
  } catch (cause) {
    throw new MultifdError(
      'ERR_GUEST',
      `the global ${JSON.stringify(name)} can't be read from JavaScript, so it can't be moved`,
      { cause },
    );
  }
  // Only a number that may be set is asked for, and then none is given.
  let asked = false;
  const probe = {
    valueOf(): never {
      asked = true;
      throw new RangeError('not to be set');
    },
  };
  try {
    global.value = probe;
  } catch {
    if (asked) return 'number';
    try {
      global.value = value;
      return 'reference'; // to functions only
    } catch {
      return 'constant';
    }
  }
  global.value = value;
  return 'reference';
}

/** @throws MultifdError ERR_GUEST for one that holds a reference. */
export function checkGlobal(name: string, { value }: WebAssembly.Global, kind: GlobalKind): void {
  if (kind === 'reference' && value !== null && value !== undefined)
    throw new MultifdError(
      'ERR_GUEST',
      `the global ${JSON.stringify(name)} holds a reference, which can't be moved`,
    );
}

/** @param global of kind number, or a reference to nothing. */
export function readGlobal(global: WebAssembly.Global): GlobalValue {
  const value: unknown = global.value;
  if (value === null) return { type: 'null' };
  if (value === undefined) return { type: 'undefined' };
  return { type: typeOfNumber(global), bits: bitsOf(value as number | bigint) };
}

/**
 * A number's 64 bits; a number that is no bigint as an f64, which holds each i32 and f32 as it is.
 * All NaNs are one, as JavaScript has them.
 */
export function bitsOf(value: number | bigint): string {
  if (Number.isNaN(value)) return '7ff8000000000000';
  const view = new DataView(new ArrayBuffer(8));
  if (typeof value === 'bigint') view.setBigInt64(0, value);
  else view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, '0');
}

/** Whether something that came over a wire is the value of a global. */
export function isGlobalValue(type: unknown, bits: unknown): boolean {
  if (NOTHING_TYPES.some((one) => one === type)) return bits === undefined;
  return (
    NUMBER_TYPES.some((one) => one === type) &&
    typeof bits === 'string' &&
    /^[0-9a-f]{16}$/.test(bits)
  );
}

/**
 * Sets all globals, or none.
 * @throws MultifdError ERR_GUEST when these are not theirs: others, of another type, or with
 *   values that they can't hold.
 */
export function setGlobals(
  globals: ReadonlyMap<string, WebAssembly.Global>,
  values: ReadonlyMap<string, GlobalValue>,
): void {
  for (const [name, value] of values) {
    const global = globals.get(name);
    if (global === undefined)
      throw new MultifdError(
        'ERR_GUEST',
        `the source has a global ${JSON.stringify(name.slice(0, 100))}, this program has none`,
      );
    const own = readGlobal(global).type;
    if (!sameType(value.type, own))
      throw new MultifdError(
        'ERR_GUEST',
        `the global ${JSON.stringify(name)} is ${value.type} at the source and ${own} here`,
      );
  }
  for (const name of globals.keys())
    if (!values.has(name))
      throw new MultifdError(
        'ERR_GUEST',
        `the source sent no value for the global ${JSON.stringify(name)}`,
      );

  const before = new Map([...globals].map(([name, global]) => [name, global.value as unknown]));
  for (const [name, global] of globals) {
    const value = numberOf(values.get(name)!);
    global.value = value;
    if (Object.is(global.value, value)) continue;
    for (const [other, old] of before) globals.get(other)!.value = old;
    throw new MultifdError(
      'ERR_GUEST',
      `the source's value of the global ${JSON.stringify(name)} is none that it can hold here`,
    );
  }
}

/**
 * By what becomes of a number that only an f64 holds. A NaN stays untouched: it would not come back
 * with all its bits.
 */
function typeOfNumber(global: WebAssembly.Global): NumberType {
  const value = global.value as number | bigint;
  if (typeof value === 'bigint') return 'i64';
  if (Number.isNaN(value)) return 'float';
  global.value = 0.1;
  const kept = global.value as number;
  global.value = value;
  if (kept === 0) return 'i32';
  return kept === 0.1 ? 'f64' : 'f32';
}

function sameType(one: GlobalValue['type'], other: GlobalValue['type']): boolean {
  const isFloat = (type: GlobalValue['type']): boolean => type.startsWith('f');
  return (
    one === other || ((one === 'float' || other === 'float') && isFloat(one) && isFloat(other))
  );
}

function numberOf(value: GlobalValue): number | bigint | null | undefined {
  if (value.type === 'null') return null;
  if (value.type === 'undefined') return undefined;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${(value as { bits: string }).bits}`));
  return value.type === 'i64' ? view.getBigInt64(0) : view.getFloat64(0);
}
