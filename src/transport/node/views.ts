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

/** Whether an error says that a descriptor has nothing to give, or takes nothing, at the moment. */
export function isNotNow(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}

/**
 * Does a call that may throw just to say "not now": the error is not looked at then, and its stack would cost more than the call.
 */
export function withoutStack<T>(call: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return call();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
