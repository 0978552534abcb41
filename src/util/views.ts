/** readv and writev take at most this many views in one call (IOV_MAX on Linux and the BSDs). */
export const MAX_VIEWS = 1024;

/** What is left of the views behind their first bytes. */
export function behind(views: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let at = 0;
  let left = bytes;
  while (at < views.length && left >= views[at]!.length) left -= views[at++]!.length;
  if (left === 0) return at === 0 ? views : views.slice(at);
  return [views[at]!.subarray(left), ...views.slice(at + 1)];
}

/**
 * Whether an error says that a descriptor has nothing to give, or takes nothing, at the moment.
 * Nobody looks at where such an error comes from, and to find that out would cost more than the
 * call that throws it: whoever makes such calls sets Error.stackTraceLimit to 0 meanwhile.
 */
export function isNotNow(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}
