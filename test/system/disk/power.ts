import type { FileHandle } from 'node:fs/promises';
import { type Operation, watchOperations } from '../../support/file-operations.ts';
import type { Random } from '../../support/random.ts';
import { Disk, DiskFile, DiskFolder, keyOf, type Remains } from './model.ts';

/** What a power cut before an operation left. */
export interface PowerCut {
  /** Operations before it, all of them done. */
  after: number;
  /** The operation that did not happen any more; undefined when all was over. */
  before: string | undefined;
  remains: Remains;
}

export function textOf({ after, before, remains }: PowerCut): string {
  const left = [...remains.keys()].join(', ');
  return `the power cut after ${after} operations, before ${before}: ${left}`;
}

export interface PowerOptions {
  random: Random;
  /** How often the power is cut before each operation; the same remains count once. */
  cuts: number;
  /** Operations that fail, by number from 1 on: then what the program does about it is seen. */
  fails?: (number: number, operation: Operation) => boolean;
}

/**
 * What programs do to the files below a folder, and what is on its disk if the power is cut
 * meanwhile.
 */
export class PowerSupply {
  readonly #disk: Disk;
  readonly #handles = new WeakMap<object, DiskFile | DiskFolder>();
  readonly #descriptors = new Map<number, DiskFile>();

  /** What is in the folder by now is on the disk. */
  constructor(root: string) {
    this.#disk = new Disk(root);
  }

  /**
   * Runs `work`, whose outcome is in the result; what it did stays on the disk, as far as it was
   * put there, for the next run.
   */
  async run(
    work: () => Promise<unknown>,
    { random, cuts, fails = () => false }: PowerOptions,
  ): Promise<{ cuts: PowerCut[]; names: string[]; error: unknown }> {
    const found = new Map<string, PowerCut>();
    const names: string[] = [];
    const cut = (before: string | undefined): void => {
      for (let time = 0; time < cuts; time++) {
        const remains = this.#disk.cut(random);
        const key = `${names.length} ${keyOf(remains)}`;
        if (!found.has(key)) found.set(key, { after: names.length, before, remains });
      }
    };
    const end = await watchOperations(
      (operation) => {
        cut(operation.name);
        names.push(operation.name);
        if (fails(names.length, operation))
          throw Object.assign(new Error('EIO: made by the test'), { code: 'EIO' });
        return this.#doing(operation);
      },
      {
        opened: (path, handle) => {
          const entry = this.#disk.find(path);
          if (entry !== undefined) this.#handles.set(handle, entry);
          if (entry instanceof DiskFile) this.#descriptors.set(handle.fd, entry);
          else this.#descriptors.delete(handle.fd);
        },
        written: (fd, bytes, position) => this.#descriptors.get(fd)?.write(position, bytes),
      },
    );
    const error = await work()
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      .finally(end);
    cut(undefined);
    return { cuts: [...found.values()], names, error };
  }

  /** What is to be done to the model once it was done to the files. */
  #doing({ name, host, args }: Operation): () => void {
    const disk = this.#disk;
    const [first, second] = args as [string, string];
    const entry = this.#handles.get(host as FileHandle);
    switch (name) {
      case 'create':
        return () => void (disk.find(first) ?? disk.make(first, new DiskFile()));
      case 'mkdir':
        return () => disk.make(first, new DiskFolder());
      case 'link':
        return () => disk.link(first, second);
      case 'rename':
        return () => disk.rename(first, second);
      case 'rm':
      case 'rmdir':
        return () => disk.remove(first);
      case 'sync':
        return () => entry?.sync();
      case 'truncate':
        return () => (entry as DiskFile | undefined)?.truncate(args[0] as number);
      case 'write': {
        const [bytes, offset, length, position] = args as [Uint8Array, number, number, number];
        const copy = bytes.slice(offset, offset + length);
        return () => (entry as DiskFile | undefined)?.write(position, copy);
      }
    }
  }
}
