import fs, { writeSync } from 'node:fs';
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const OF_HANDLES = ['write', 'truncate', 'sync'] as const;
const OF_PATHS = ['rename', 'link', 'rm', 'rmdir', 'mkdir'] as const;

/** What changes a file or a folder, or puts it on the disk. A `create` is an `open` that does. */
export type OperationName = (typeof OF_HANDLES)[number] | (typeof OF_PATHS)[number] | 'create';

/** An operation that is about to happen. */
export interface Operation {
  name: OperationName;
  /** What it is called on, a FileHandle or the module, and with what. */
  host: unknown;
  args: readonly unknown[];
  /** Bytes of a write. */
  length: number;
  /** Does the first half of a write. */
  half(): void;
}

/**
 * Called before each operation, which fails when it throws; what it returns is called once the
 * operation has succeeded.
 */
export type Watchdog = (operation: Operation) => void | (() => void);

export interface Watched {
  /** Told of everything that is opened. */
  opened?: (path: string, handle: FileHandle) => void;
  /** Told of what is written by a descriptor, which is no operation of the product's own. */
  written?: (fd: number, bytes: Uint8Array, position: number) => void;
}

/**
 * Tells `watch` of each operation, everywhere in this process.
 * @returns what ends that.
 */
export async function watchOperations(
  watch: Watchdog,
  { opened, written }: Watched = {},
): Promise<() => void> {
  const restore: Array<() => void> = [];
  const replace = <Host extends object>(
    host: Host,
    name: string & keyof Host,
    by: (
      original: (...args: unknown[]) => unknown,
    ) => (this: unknown, ...args: unknown[]) => unknown,
  ): void => {
    const original = host[name] as (...args: unknown[]) => unknown;
    Object.assign(host, { [name]: by(original) });
    restore.push(() => Object.assign(host, { [name]: original }));
  };
  const watched = (name: OperationName) => (original: (...args: unknown[]) => unknown) =>
    async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const done = watch(operation(name, this, args));
      const result = await original.apply(this, args);
      if (typeof done === 'function') done();
      return result;
    };
  const handle = await promises.open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  for (const name of OF_HANDLES) replace(prototype, name, watched(name));
  for (const name of OF_PATHS) replace(promises, name, watched(name));
  replace(promises, 'open', (original) => {
    const creating = watched('create')(original);
    return async (path: unknown, flags: unknown, ...rest: unknown[]) => {
      const creates = typeof flags === 'string' && /[wa]/.test(flags);
      const result = await (creates ? creating : original).call(promises, path, flags, ...rest);
      opened?.(path as string, result as FileHandle);
      return result;
    };
  });
  replace(fs, 'writeSync', (original) => (...args) => {
    const count = original(...args);
    const [fd, bytes, offset, length, position] = args as [
      number,
      Uint8Array,
      number,
      number,
      number,
    ];
    written?.(fd, bytes.subarray(offset, offset + length), position);
    return count;
  });
  syncBuiltinESMExports();
  return () => {
    for (const one of restore.splice(0)) one();
    syncBuiltinESMExports();
  };
}

function operation(name: OperationName, host: unknown, args: readonly unknown[]): Operation {
  if (name !== 'write') return { name, host, args, length: 0, half() {} };
  const [bytes, offset, length, position] = args as [Uint8Array, number, number, number];
  return {
    name,
    host,
    args,
    length,
    half: () => void writeSync((host as FileHandle).fd, bytes, offset, length >> 1, position),
  };
}
