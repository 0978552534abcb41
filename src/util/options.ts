import { givenObject, inWords } from './checks.ts';
import { MultifdError } from './errors.ts';

/**
 * The names of a type of options, all of them: `{ ... } satisfies OptionNames<Options>` does not
 * compile when one is missing, or one is too many.
 */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

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

/** Edits; a name that takes more than these, or more than half of it, is another one. */
const MOST_EDITS = 3;

/** The name that is most like it; undefined if none is. */
function nearest(word: string, names: readonly string[]): string | undefined {
  const [first] = names
    .map((name) => ({ name, edits: editsBetween(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.min(MOST_EDITS, name.length / 2))
    .sort((a, b) => a.edits - b.edits);
  return first?.name;
}

/** Characters to change, add, leave out or exchange with the next; many if the lengths say so. */
function editsBetween(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > MOST_EDITS) return MOST_EDITS + 1;
  let before: number[] = [];
  let last: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    [before, last, row] = [last, row, [i]];
    for (let j = 1; j <= b.length; j++) {
      const other = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + other);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
  }
  return row[b.length]!;
}
