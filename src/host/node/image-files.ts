import { open, type FileHandle } from 'node:fs/promises';
import { io } from '../../image/io.ts';
import type { RandomAccess } from '../../image/random-access.ts';

/** Opens a file to read anywhere in it. Throws MultifdError ERR_IO. */
export async function openImageFile(path: string): Promise<RandomAccess> {
  const handle = await io(`open ${path}`, open(path, 'r'));
  try {
    const { size } = await io(`look at ${path}`, handle.stat());
    return new FileAccess(path, size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class FileAccess implements RandomAccess {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const { bytesRead } = await io(`read ${this.name}`, this.#handle.read(into, 0, into.length, offset));
    return bytesRead;
  }

  async sizeOnDisk(): Promise<number> {
    const { blocks } = await io(`look at ${this.name}`, this.#handle.stat());
    return blocks * 512;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
