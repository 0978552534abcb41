/** What several measurements of the same thing say together. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** `median (least-most)`, or the one number when they all look the same. */
export function spreadText(values: readonly number[], digits: number): string {
  const spread = spreadOf(values);
  const [least, middle, most] = [spread.least, spread.median, spread.most].map((value) =>
    value.toFixed(digits),
  );
  return least === most ? middle! : `${middle} (${least}-${most})`;
}

/** Three digits that count, but no fewer than those before the point. */
export function digitsFor(value: number): number {
  const size = Math.abs(value);
  return size >= 100 || size === 0 ? 0 : Math.min(4, 2 - Math.floor(Math.log10(size)));
}
