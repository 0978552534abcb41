/** The names of an enum with their numbers. */
export type Numbers<E extends Record<string, number | string>> = {
  readonly [Name in keyof E as Name extends string
    ? Name
    : never]: `${E[Name]}` extends `${infer N extends number}` ? N : never;
};

/** An enum as a plain object, without the way back from numbers to names. */
export function numbersOf<E extends Record<string, number | string>>(names: E): Numbers<E> {
  const numbers = Object.entries(names).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers) as Numbers<E>;
}
