import type { ImageSource } from '../../image/access/open.ts';
import { imageBlock } from '../../image/mapped-ram/read-ahead.ts';
import { type ImageOptions, openImage } from '../../image/formats.ts';
import { MAPPED_RAM, withoutCapability } from '../../stream/index.ts';
import { MultifdError } from '../../util/errors.ts';
import type { ContentBlock, OutgoingContent } from './content.ts';

/**
 * @throws MultifdError ERR_OPTION for another page size; and what openImage and readBitmap throw.
 */
export async function imageContent(
  source: ImageSource,
  options: ImageOptions,
  pageSize: number | undefined,
): Promise<OutgoingContent> {
  const image = await openImage(source, options);
  try {
    if (pageSize !== undefined && image.pageSize !== pageSize)
      throw new MultifdError(
        'ERR_OPTION',
        `${image.name} has pages of ${image.pageSize} bytes, and the page size is ${pageSize}: ` +
          `set it to ${image.pageSize}`,
      );
    const blocks: ContentBlock[] = [];
    for (const block of image.blocks) {
      const opened = imageBlock(image, block, await image.readBitmap(block));
      const { usedLength, address, ignored } = block;
      blocks.push({ ...opened, usedLength, ignored, ...(address !== undefined && { address }) });
    }
    return {
      configuration: withoutCapability(image.configuration, MAPPED_RAM),
      blocks,
      pageSize: image.pageSize,
      others: image.others,
      tail: await image.readTail(),
      described: await image.readDevices(),
      verify: () => image.verify(),
      close: () => image.close(),
    };
  } catch (error) {
    await image.close();
    throw error;
  }
}
