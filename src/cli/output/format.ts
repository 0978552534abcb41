/** Numbers and names as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A number of bytes with three digits or so: `96.2 MiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/** Bytes per second, from the megabits per second of the statistics. */
export function formatRate(mbps: number): string {
  return `${formatBytes((mbps * 1e6) / 8)}/s`;
}

export function formatDuration(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/**
 * Text that came from a peer or a file, safe for a terminal: block names and the like may hold
 * escape sequences, and characters that turn the reading direction around.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
