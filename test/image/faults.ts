import { writeSync } from 'node:fs';
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/** An operation that changes a file or a folder, or puts it on the disk, and is about to happen. */
export interface Operation {
  name: 'write' | 'truncate' | 'sync' | 'rename' | 'link' | 'rm';
  /** Bytes of a write. */
  length: number;
  /** Does the first half of a write. */
  half(): void;
}

/**
 * Tells `watch` of each operation beforehand, everywhere in this process; when it throws, the operation fails.
 * @returns what ends that.
 */
export async function watchOperations(watch: (operation: Operation) => void): Promise<() => void> {
  const restore: Array<() => void> = [];
  const wrap = <Host extends object>(host: Host, name: Operation['name'] & keyof Host): void => {
    const original = host[name] as (this: unknown, ...args: unknown[]) => Promise<unknown>;
    const wrapped = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      watch(operation(name, this, args));
      return original.apply(this, args);
    };
    Object.assign(host, { [name]: wrapped });
    restore.push(() => Object.assign(host, { [name]: original }));
  };
  const handle = await promises.open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  for (const name of ['write', 'truncate', 'sync'] as const) wrap(prototype, name);
  for (const name of ['rename', 'link', 'rm'] as const) wrap(promises, name);
  syncBuiltinESMExports();
  return () => {
    for (const one of restore) one();
    syncBuiltinESMExports();
  };
}

function operation(name: Operation['name'], host: unknown, args: readonly unknown[]): Operation {
  if (name !== 'write') return { name, length: 0, half() {} };
  const [bytes, offset, length, position] = args as [Uint8Array, number, number, number];
  return { name, length, half: () => void writeSync((host as FileHandle).fd, bytes, offset, length >> 1, position) };
}
