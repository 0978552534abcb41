import { type ImageBlock, type ImageReader, inspectDevices, openImage, runsOf } from 'multifd';
import type { Shown, ShownBlock } from './shown.ts';
import { FIRST, PageStates } from './states.ts';

export interface OpenedImage {
  shown: Shown;
  machine: string;
}

/**
 * Opens a mapped-ram image: a file that the user picked, or the address of one whose server answers
 * range requests. Pages are read when they are looked at.
 */
export async function openImageSource(source: File | URL): Promise<OpenedImage> {
  const image = await openImage(source);
  const blocks: ShownBlock[] = [];
  for (const block of image.blocks)
    blocks.push({
      id: block.id,
      usedLength: block.usedLength,
      states: await statesOf(image, block),
    });
  return {
    machine: image.configuration.machine,
    shown: {
      kind: 'image',
      name: source instanceof File ? source.name : source.href,
      pageSize: image.pageSize,
      blocks,
      devices: (await inspectDevices(source)) ?? 'not described',
      read: (block, offset) => readPage(image, image.blocks[block]!, blocks[block]!.states, offset),
      outgoing: () => ({ image: source }),
    },
  };
}

async function statesOf(image: ImageReader, block: ImageBlock): Promise<PageStates> {
  const pages = block.usedLength / image.pageSize;
  const states = new PageStates(new ArrayBuffer(PageStates.bytes(pages)), pages);
  let next = 0;
  for (const { start, end } of runsOf(await image.readBitmap(block), pages)) {
    states.mark(next, start - next, false, 1);
    states.mark(start, end - start, true, 1);
    next = end;
  }
  states.mark(next, pages - next, false, 1);
  return states;
}

/** What an image does not hold is zero, whatever its file has there. */
async function readPage(
  image: ImageReader,
  block: ImageBlock,
  { codes }: PageStates,
  offset: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(image.pageSize);
  if (codes[offset / image.pageSize] === FIRST) await image.readPages(block, offset, bytes);
  return bytes;
}
