/** What a process is to do with an image in a file. */
export interface FileOrder {
  what: 'save' | 'load';
  ramFile: string;
  image: string;
  bytes: number;
  channels: number;
}

/**
 * Its memory is ready; it is done, after so many seconds; whether what was loaded is what was
 * saved.
 */
export type FileWord =
  | { kind: 'ready' }
  | { kind: 'done'; seconds: number }
  | { kind: 'compared'; same: boolean };
