import { MultifdError } from '../errors.ts';
import { countBits, runsOf } from './bitmap.ts';
import { FileOutput } from './file-output.ts';
import { openImage, type ImageBlock, type ImageReader } from './image-reader.ts';
import { io, writeFully } from './io.ts';

export interface ExtractOptions {
  /** Where the stream starts in the image file, in bytes; default 0. */
  offset?: number;
  /** Replace an output file that is there already; default false. */
  force?: boolean;
  signal?: AbortSignal;
  /** Called after each piece: bytes copied so far, and bytes to copy in all. Zero pages count in neither. */
  onProgress?: (bytes: number, total: number) => void;
}

const BUFFER_LENGTH = 1024 * 1024;

/**
 * Writes one block's bytes to a file, which is complete or absent: exactly the block's true length, holes where pages are zero.
 *
 * @returns the file's length in bytes.
 * @throws MultifdError ERR_NO_BLOCK; ERR_EXISTS; ERR_CANCELLED; ERR_IO; and what openImage and readBitmap throw.
 */
export async function extractBlock(
  path: string,
  blockId: string,
  outPath: string,
  options: ExtractOptions = {},
): Promise<number> {
  const image = await openImage(path, options);
  try {
    const block = image.blocks.find(({ id }) => id === blockId);
    if (block === undefined) throw noBlock(image, blockId);
    const output = await FileOutput.create(outPath, { force: options.force ?? false });
    try {
      await copyPages(image, block, output, options);
      await io(`set the length of ${outPath}`, output.handle.truncate(block.trueLength));
      checkSignal(options.signal);
    } catch (error) {
      await output.discard();
      throw error;
    }
    await output.commit();
    return block.trueLength;
  } finally {
    await image.close();
  }
}

async function copyPages(
  image: ImageReader,
  block: ImageBlock,
  output: FileOutput,
  { signal, onProgress }: ExtractOptions,
): Promise<void> {
  const { pageSize } = image;
  const bitmap = await image.readBitmap(block);
  const total = countBits(bitmap) * pageSize;
  const buffer = new Uint8Array(Math.max(BUFFER_LENGTH, pageSize));
  let copied = 0;
  for (const { start, end } of runsOf(bitmap, block.usedLength / pageSize)) {
    for (let at = start * pageSize; at < end * pageSize; at += buffer.length) {
      checkSignal(signal);
      const piece = buffer.subarray(0, Math.min(buffer.length, end * pageSize - at));
      await image.readPages(block, at, piece);
      // The last page's padding is cut off afterwards, with the file's length.
      await writeFully(output.handle, piece, at);
      copied += piece.length;
      onProgress?.(copied, total);
    }
  }
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new MultifdError('ERR_CANCELLED', 'extracting was cancelled', { cause: signal.reason });
}

function noBlock(image: ImageReader, blockId: string): MultifdError {
  const ids = image.blocks.map(({ id }) => id).join(', ');
  return new MultifdError('ERR_NO_BLOCK', `the image has no block ${blockId}; it has ${ids}`);
}
