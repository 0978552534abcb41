/**
 * How a file operation fails. `half`: no space for the second half. `short`: half is done, and said
 * so.
 */
export type FaultKindOfFile = 'EIO' | 'ENOSPC' | 'EINTR' | 'half' | 'short' | 'kill';

/** Which operation of which thread, counted from 1. */
export interface Point {
  thread: number;
  number: number;
  kind: FaultKindOfFile;
}

export interface Operation {
  thread: number;
  number: number;
  name: string;
  half: boolean;
}

/** What the preload has written down. */
export function parseLog(text: string): Operation[] {
  return text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [thread, number, name, half] = line.split(' ') as [string, string, string, string];
      return { thread: Number(thread), number: Number(number), name, half: half === 'true' };
    });
}

const NEEDS_SPACE = /^(write|open|f?truncate|mkdir|link|rename|f?sync|f?datasync|copyFile)/;
const RETRIED = /^(read|write|open|sync|fsync)/;

/** The ways in which an operation of this kind can fail. */
export function kindsOf({ name, half }: Operation): FaultKindOfFile[] {
  return [
    'kill',
    'EIO',
    ...(NEEDS_SPACE.test(name) ? (['ENOSPC'] as const) : []),
    ...(RETRIED.test(name) ? (['EINTR'] as const) : []),
    ...(half && name.startsWith('write') ? (['half'] as const) : []),
    ...(half ? (['short'] as const) : []),
  ];
}
