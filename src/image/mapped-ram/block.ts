import type { BlockSourceSpec } from '../../blocks/page-sources.ts';
import { fileDescriptor, type OpenBlock } from '../../blocks/sources.ts';
import { BlockContent } from './read-ahead.ts';
import type { ImageBlock, ImageReader } from './reader.ts';

/**
 * A block of an image, without its zero pages. The image is the caller's to verify and to close.
 */
export function imageBlock(image: ImageReader, block: ImageBlock, bitmap: Uint8Array): OpenBlock {
  const { id, usedLength: length, pagesOffset: position } = block;
  const { fd, name } = image;
  const content = new BlockContent(image, block, bitmap);
  const descriptor: BlockSourceSpec =
    fd === undefined
      ? { kind: 'staged' }
      : fileDescriptor({ fd, name, position, length, sparse: true });
  return {
    id,
    byteLength: length,
    descriptor,
    // Pages that are read here come with zeros for what is not present.
    ...(descriptor.kind === 'file' && { bitmap }),
    read: (offset, into) => content.read(offset, into),
    close() {},
  };
}
