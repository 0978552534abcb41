/** Milliseconds on a clock that all processes of one machine share, to the microsecond. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
