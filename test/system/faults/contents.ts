import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openImage } from 'multifd';

const RETURN_PATH = 'return-path';

export type OutputKind = 'image' | 'file' | 'recording';

/** What each block of an image holds, zeros for the pages that are not present. */
export async function imageContents(path: string): Promise<Map<string, Uint8Array>> {
  const image = await openImage(path);
  try {
    const contents = new Map<string, Uint8Array>();
    for (const block of image.blocks) {
      const bytes = new Uint8Array(block.usedLength);
      await image.readPages(block, 0, bytes);
      const bitmap = await image.readBitmap(block);
      for (let page = 0; page < bytes.length / image.pageSize; page++) {
        const present = (bitmap[page >> 3]! & (1 << (page & 7))) !== 0;
        if (!present) bytes.fill(0, page * image.pageSize, (page + 1) * image.pageSize);
      }
      contents.set(block.id, bytes);
    }
    return contents;
  } finally {
    await image.close();
  }
}

/**
 * A digest of what is in an image, a file or a recording, whose times do not count, nor what the
 * source was told, which comes once the recording has its name. `absent` if nothing has the name.
 */
export async function digestOf(path: string, kind: OutputKind): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return 'absent';
  const hash = createHash('sha256');
  if (kind === 'file') hash.update(await readFile(path));
  if (kind === 'image') {
    for (const [id, bytes] of await imageContents(path)) hash.update(id).update(bytes);
  }
  if (kind === 'recording') {
    for (const name of (await readdir(path)).sort()) {
      if (name.endsWith('.times') || name === RETURN_PATH) continue;
      hash.update(name).update(await readFile(join(path, name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}
