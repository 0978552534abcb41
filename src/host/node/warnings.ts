/**
 * Tells whoever runs the program of an error that changes nothing: on standard error, and by the
 * process's `warning` event.
 */
export function warn(error: Error): void {
  process.emitWarning(error);
}
