import { type WithOldNames, withOldNames } from '../../util/old-names.ts';
import { observer } from '../../util/callbacks.ts';
import { answering, givenMethods, givenPath, givenText } from '../../util/checks.ts';
import { cancelledBy, MultifdError } from '../../util/errors.ts';
import { countBits } from '../mapped-ram/bitmap.ts';
import { cpuNotes, cpuStates } from './cpu-notes.ts';
import { devicesOf } from '../mapped-ram/inspect.ts';
import { coreHeader } from './elf-core.ts';
import { FileOutput } from '../file-output.ts';
import {
  IMAGE_NAMES,
  openAs,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from '../formats.ts';
import { type PromiseWithProgress, withProgress } from '../../util/progress.ts';
import type { OptionNames } from '../../util/options.ts';
import { io, writeFully } from '../../files/io.ts';
import type { ImageSource } from '../access/open.ts';
import { pcMemory } from './pc-memory.ts';
import { BlockContent, readAhead } from '../mapped-ram/read-ahead.ts';

/** Bytes that are passed on at a time; a multiple of all page sizes. */
const PIECE = 512 * 1024;

/** Options of {@link extractBlock} and {@link extractCore}. */
export interface ExtractOptions extends ImageOptions {
  /** Replace an output file that is there already; default false. */
  force?: boolean;
  /**
   * Called after each piece: bytes copied so far, and bytes to copy in all. Into a file, zero pages
   * count in neither. An error of it is a warning.
   */
  onProgress?: (bytes: number, total: number) => void;
}

/** How far it is, in bytes; zero pages count in neither. */
export interface ExtractProgress {
  bytes: number;
  total: number;
}

type Told = NonNullable<ExtractOptions['onProgress']>;

const EXTRACT_NAMES = {
  ...IMAGE_NAMES,
  force: true,
  onProgress: true,
} as const satisfies OptionNames<ExtractOptions>;

/**
 * Where what is extracted goes: the path of a file, or what takes all bytes in order, zero pages
 * too. Each piece is only valid during the call.
 */
export type ExtractTarget = string | { write(bytes: Uint8Array): void | Promise<void> };

/**
 * Writes one block's bytes to a file, which is complete or absent: exactly the block's true length,
 * holes where pages are zero.
 *
 * @param blockId the block's name, as `inspectImage` lists it.
 * @param to the file; or what takes the bytes, which has had some of them when it fails.
 * @returns the length in bytes.
 * @throws MultifdError ERR_OPTION; ERR_NO_BLOCK, whose message lists what there is; ERR_EXISTS;
 *   ERR_CANCELLED; ERR_IO; and what `openImage` and `readBitmap` throw.
 */
export function extractBlock(
  source: ImageSource,
  blockId: string,
  to: ExtractTarget,
  options: ExtractOptions = {},
): PromiseWithProgress<number, ExtractProgress> {
  return withImage(source, to, options, async (image, told) => {
    givenText('the id of a block', blockId);
    const block = image.blocks.find(({ id }) => id === blockId);
    if (block === undefined) throw noBlock(image, blockId);
    await writeBlock(image, block, to, new Uint8Array(0), block.trueLength, options, told);
    return block.trueLength;
  });
}

/** What a core file has; plain data. Bytes. */
export interface CoreReport {
  /** Of the whole file, holes included. */
  bytes: number;
  /** How many CPUs the file has the registers of; 0 if the image does not tell them. */
  cpus: number;
  /** The RAM in order: each part's `physical-address`, and its `bytes`. */
  segments: WithOldNames<
    { 'physical-address': number; bytes: number },
    { 'physical-address': 'physicalAddress' }
  >[];
}

/**
 * Writes all RAM of an x86 PC to an ELF core file, for debuggers, by its physical addresses and
 * with the registers of each CPU. The file is complete or absent, with holes where pages are zero.
 * Firmware is not in it, nor any device's memory; from 640 KiB to 1 MiB it has what the RAM holds
 * there, even where the guest sees something else.
 *
 * @returns what the file has.
 * @throws MultifdError ERR_OPTION; ERR_UNSUPPORTED if the machine is no x86 PC, or where its RAM is
 *   cannot be told with certainty; ERR_EXISTS; ERR_CANCELLED; ERR_IO; and what `openImage` and
 *   `readBitmap` throw.
 */
export function extractCore(
  source: ImageSource,
  to: ExtractTarget,
  options: ExtractOptions = {},
): PromiseWithProgress<CoreReport, ExtractProgress> {
  return withImage(source, to, options, async (image, told) => {
    const devices = await devicesOf(image);
    const { block, ranges } = pcMemory(image.configuration.machine, image.blocks, devices);
    const cpus = cpuStates(devices ?? []) ?? [];
    const header = coreHeader(cpuNotes(cpus), ranges);
    await writeBlock(image, block, to, header, block.usedLength, options, told);
    const segments = ranges.map(({ physicalAddress, length }) =>
      withOldNames(
        { 'physical-address': physicalAddress, bytes: length },
        { 'physical-address': 'physicalAddress' },
      ),
    );
    return { bytes: header.length + block.usedLength, cpus: cpus.length, segments };
  });
}

const TARGETS = 'a path, or { write }';

function withImage<T>(
  source: ImageSource,
  to: ExtractTarget,
  options: ExtractOptions,
  use: (image: ImageReader, told: Told) => Promise<T>,
): PromiseWithProgress<T, ExtractProgress> {
  return withProgress((progress) =>
    answering(async () => {
      if (typeof to === 'object') givenMethods('where to write to', to, ['write'], TARGETS);
      else givenPath('where to write to', to);
      const image = await openAs(source, options, EXTRACT_NAMES);
      try {
        const observed = observer('onProgress', options.onProgress);
        return await use(image, (bytes, total) => {
          observed(bytes, total);
          progress.put({ bytes, total });
        });
      } finally {
        await image.close();
      }
    }),
  );
}

/** Writes `header`, and after it the block's first `length` bytes. */
async function writeBlock(
  image: ImageReader,
  block: ImageBlock,
  to: ExtractTarget,
  header: Uint8Array,
  length: number,
  options: ExtractOptions,
  told: Told,
): Promise<void> {
  if (typeof to === 'object') return passOn(image, block, to, header, length, options.signal, told);
  const output = await FileOutput.create(to, { force: options.force ?? false });
  try {
    await writeFully(output.handle, header, 0);
    await copyPages(image, block, output, header.length, options.signal, told);
    await io(`set the length of ${to}`, output.handle.truncate(header.length + length));
    await image.verify();
    checkSignal(options.signal);
  } catch (error) {
    await output.discard();
    throw error;
  }
  await output.commit();
}

/** Gives all bytes to who takes them, in order. */
async function passOn(
  image: ImageReader,
  block: ImageBlock,
  to: Exclude<ExtractTarget, string>,
  header: Uint8Array,
  length: number,
  signal: AbortSignal | undefined,
  told: Told,
): Promise<void> {
  const content = new BlockContent(image, block, await image.readBitmap(block));
  const piece = new Uint8Array(PIECE);
  if (header.length > 0) await to.write(header);
  for (let at = 0; at < length; at += PIECE) {
    checkSignal(signal);
    await content.read(at, piece);
    const count = Math.min(PIECE, length - at);
    await to.write(piece.subarray(0, count));
    told(at + count, length);
  }
  await image.verify();
}

/** Copies what is not zero to `base` on in the output. */
async function copyPages(
  image: ImageReader,
  block: ImageBlock,
  output: FileOutput,
  base: number,
  signal: AbortSignal | undefined,
  told: Told,
): Promise<void> {
  const bitmap = await image.readBitmap(block);
  const total = countBits(bitmap) * image.pageSize;
  let copied = 0;
  for await (const { offset, bytes } of readAhead(image, block, bitmap)) {
    checkSignal(signal);
    // The last page's padding is cut off afterwards, with the file's length.
    await writeFully(output.handle, bytes, base + offset);
    copied += bytes.length;
    told(copied, total);
  }
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelledBy(signal, 'extracting was cancelled');
}

function noBlock(image: ImageReader, blockId: string): MultifdError {
  const ids = image.blocks.map(({ id }) => id).join(', ');
  return new MultifdError('ERR_NO_BLOCK', `${image.name} has no block ${blockId}; it has ${ids}`);
}
