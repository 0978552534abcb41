import { basename } from 'node:path';
import { MultifdError } from '../util/errors.ts';
import { isImage, isWebAddress } from '../image/index.ts';
import type { OutgoingOptions } from '../migration/outgoing/index.ts';

/**
 * What a SOURCE is sent as: a mapped-ram image as itself, which is all that a URL can be; any other
 * file as one RAM block named after it.
 * @param offset in bytes; above 0 there has to be an image in the file, from there on.
 * @throws MultifdError ERR_IO for what is no regular file, or can't be read.
 */
export async function describeSource(
  path: string,
  offset: number,
): Promise<Pick<OutgoingOptions, 'image' | 'imageOffset' | 'blocks'>> {
  // What is not here is not looked at twice: what a server has is an image, or an error.
  if (isWebAddress(path) || offset > 0) return { image: path, imageOffset: offset };
  if (await looksLikeImage(path)) return { image: path };
  return { blocks: [{ id: basename(path), source: { path } }] };
}

/**
 * A file may begin with an image's magic by chance: where nothing like a stream follows it, it is a
 * file like any other.
 */
async function looksLikeImage(path: string): Promise<boolean> {
  try {
    return await isImage(path);
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    if (error.code === 'ERR_IO') throw error;
    return false;
  }
}
