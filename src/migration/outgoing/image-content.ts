import { MultifdError } from '../../util/errors.ts';
import { type ImageOptions, openImage } from '../../image/mapped-ram/reader.ts';
import type { ImageSource } from '../../image/access/open.ts';
import { MAPPED_RAM, withoutCapability } from '../../stream/index.ts';
import type { OpenBlock } from '../../blocks/sources.ts';
import { imageBlock } from '../../image/mapped-ram/block.ts';
import type { OutgoingContent } from './content.ts';

/**
 * @throws MultifdError ERR_OPTION for another page size; and what openImage and readBitmap throw.
 */
export async function imageContent(
  source: ImageSource,
  options: ImageOptions,
  pageSize: number,
): Promise<OutgoingContent> {
  const image = await openImage(source, options);
  try {
    if (image.pageSize !== pageSize)
      throw new MultifdError(
        'ERR_OPTION',
        `the image has pages of ${image.pageSize} bytes: set the page size to that`,
      );
    const blocks: OpenBlock[] = [];
    for (const block of image.blocks) {
      blocks.push(imageBlock(image, block, await image.readBitmap(block)));
    }
    return {
      configuration: withoutCapability(image.configuration, MAPPED_RAM),
      blocks,
      usedLengths: image.blocks.map(({ usedLength }) => usedLength),
      tail: await image.readTail(),
      verify: () => image.verify(),
      close: () => image.close(),
    };
  } catch (error) {
    await image.close();
    throw error;
  }
}
