/** What a report's names were before, by what they are now. */
type OldNames = Readonly<Record<string, string>>;

/** A report that has its names of before as well, for one release: they are deprecated. */
export type WithOldNames<Report, Old extends OldNames> = Report & {
  [Name in keyof Report as Name extends keyof Old ? Old[Name] : never]: Report[Name];
};

/** Adds the old names behind all others. */
export function withOldNames<Report extends object, const Old extends OldNames>(
  report: Report,
  old: Old,
): WithOldNames<Report, Old> {
  const before = Object.entries(report).flatMap(([name, value]) =>
    Object.hasOwn(old, name) ? [[old[name], value] as const] : [],
  );
  return { ...report, ...Object.fromEntries(before) } as WithOldNames<Report, Old>;
}
