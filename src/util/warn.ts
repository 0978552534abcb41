/**
 * Tells whoever runs the program of an error that changes nothing: as the process's `warning` event,
 * or, where there is no process, as the platform does it with a listener that throws.
 */
export function warn(error: Error): void {
  const { process } = globalThis as { process?: { emitWarning?(error: Error): void } };
  if (process?.emitWarning !== undefined) process.emitWarning(error);
  else if (typeof reportError === 'function') reportError(error);
  else console.error(error);
}
