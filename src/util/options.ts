import leven from 'leven';
import { givenObject, inWords } from './checks.ts';
import { MultifdError } from './errors.ts';

/**
 * The names of a type of options, all of them: `{ ... } satisfies OptionNames<Options>` does not
 * compile when one is missing, or one is too many.
 */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/** Those names, but for some. */
export function namesBut<N extends object, K extends keyof N>(
  names: N,
  ...left: readonly K[]
): Omit<N, K> {
  const kept = { ...names };
  for (const name of left) delete kept[name];
  return kept;
}

/**
 * An object with options, each of which is known: one that is misspelt would be a default taken
 * without a word. An object of a class of the caller's own has fields of its own, and is not looked
 * through.
 *
 * @param names all there are.
 * @throws MultifdError ERR_OPTION.
 */
export function givenOptions<T extends object>(
  name: string,
  value: T,
  names: OptionNames<T>,
  give?: string,
): T {
  givenObject(name, value, give);
  if (!isPlain(value)) return value;
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(names, key));
  if (unknown === undefined) return value;
  const near = nearest(unknown, Object.keys(names));
  const advice =
    near === undefined ? `there are ${Object.keys(names).join(', ')}` : `did you mean "${near}"?`;
  throw new MultifdError('ERR_OPTION', `${name}: unknown option ${inWords(unknown)}: ${advice}`);
}

/** Whether it is an object of no class, in any realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Characters changed, added or left out; what takes more, or more than half, is another name. */
const MOST_EDITS = 3;

/** The name that is most like it; undefined if none is. */
function nearest(word: string, names: readonly string[]): string | undefined {
  const [first] = names
    .map((name) => ({ name, edits: leven(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.min(MOST_EDITS, name.length / 2))
    .sort((a, b) => a.edits - b.edits);
  return first?.name;
}
