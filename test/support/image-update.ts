import { writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { expect } from 'vitest';
import { ImageUpdate, ImageWriter, openImage, type Stamp } from '../../src/image/index.ts';
import { bitmapLength, buildTail } from '../../src/stream/index.ts';
import type { Random } from './random.ts';
import { bitmapOf, type Block, CONFIGURATION, nonZeroPages, PAGE } from './image.ts';

/** A program's memory at one moment, and what stands for its state beside it. */
export interface Memory {
  blocks: Block[];
  tail: Uint8Array;
}

/** Blocks of these numbers of pages, about half of them zero. */
export function randomMemory(random: Random, sizes: readonly number[]): Memory {
  const blocks = sizes.map((pages, index) => ({
    id: `block${index}`,
    content: new Uint8Array(pages * PAGE),
  }));
  for (const { content } of blocks) {
    for (let page = 0; page < content.length / PAGE; page++)
      if (random.chance(0.5)) scribble(random, content, page);
  }
  return { blocks, tail: randomTail(random) };
}

/** The memory some time later: pages written, pages zeroed, pages that were zero written. */
export function later(random: Random, { blocks }: Memory, share: number): Memory {
  const next = blocks.map(({ id, content }) => ({ id, content: content.slice() }));
  for (const { content } of next) {
    for (let page = 0; page < content.length / PAGE; page++) {
      if (!random.chance(share)) continue;
      if (random.chance(0.3)) content.fill(0, page * PAGE, (page + 1) * PAGE);
      else scribble(random, content, page);
    }
  }
  return { blocks: next, tail: randomTail(random) };
}

function scribble(random: Random, content: Uint8Array, page: number): void {
  content[page * PAGE + random.below(PAGE)] = 1 + random.below(255);
}

export function randomTail(random: Random, length = random.below(6000)): Uint8Array {
  return buildTail([{ idstr: 'state', instanceId: 0, data: random.bytes(length) }], PAGE);
}

export function bitmapsOf({ blocks }: Memory): Uint8Array[] {
  return blocks.map(({ content }) =>
    bitmapOf(nonZeroPages(content), bitmapLength(content.length, PAGE)),
  );
}

/** The pages that differ, and by chance some that don't. */
export function changesOf(before: Memory, { blocks }: Memory, random?: Random): Uint8Array[] {
  return blocks.map(({ content }, index) => {
    const old = before.blocks[index]!.content;
    const pages = Array.from({ length: content.length / PAGE }, (_, page) => page).filter(
      (page) => {
        const range = [page * PAGE, (page + 1) * PAGE] as const;
        return (
          Buffer.compare(old.subarray(...range), content.subarray(...range)) !== 0 ||
          random?.chance(0.02)
        );
      },
    );
    return bitmapOf(pages, bitmapLength(content.length, PAGE));
  });
}

export const shapesOf = ({ blocks }: Memory): Array<{ id: string; usedLength: number }> =>
  blocks.map(({ id, content }) => ({ id, usedLength: content.length }));

/** Writes a whole image. */
export async function writeWhole(
  path: string,
  memory: Memory,
  { offset = 0, force = false } = {},
): Promise<Stamp> {
  const writer = await ImageWriter.create(path, { offset, force });
  return fillAndCommit(writer, memory).finally(() => writer.discard());
}

async function fillAndCommit(writer: ImageWriter, memory: Memory): Promise<Stamp> {
  const plan = await writer.begin(CONFIGURATION, shapesOf(memory), PAGE);
  const bitmaps = bitmapsOf(memory);
  for (const [index, { pagesOffset }] of plan.blocks.entries())
    writePages(writer.fd, pagesOffset, memory.blocks[index]!.content, bitmaps[index]!);
  await writer.writeBitmaps(bitmaps);
  await writer.appendTail(memory.tail);
  return writer.commit();
}

export function openUpdate(
  path: string,
  stamp: Stamp,
  memory: Memory,
  offset = 0,
): Promise<ImageUpdate | undefined> {
  return ImageUpdate.open(path, {
    stamp,
    configuration: CONFIGURATION,
    blocks: shapesOf(memory),
    pageSize: PAGE,
    offset,
  });
}

/** Puts what changed into the sidecar, zero pages left out. */
export function fillUpdate(
  update: ImageUpdate,
  memory: Memory,
  changed: readonly Uint8Array[],
): void {
  const bitmaps = bitmapsOf(memory);
  for (const [index, { pagesOffset }] of update.plan.blocks.entries()) {
    const present = bitmaps[index]!.map((byte, at) => byte & changed[index]![at]!);
    writePages(update.fd, pagesOffset, memory.blocks[index]!.content, present);
  }
}

function writePages(
  fd: number,
  pagesOffset: number,
  content: Uint8Array,
  bitmap: Uint8Array,
): void {
  for (let page = 0; page < content.length / PAGE; page++) {
    if (bitmap[page >> 3]! & (1 << (page & 7)))
      writeSync(fd, content, page * PAGE, PAGE, pagesOffset + page * PAGE);
  }
}

/** Updates an image that holds `before`. */
export async function updateImage(
  path: string,
  stamp: Stamp,
  before: Memory,
  after: Memory,
  { offset = 0, random }: { offset?: number; random?: Random } = {},
): Promise<Stamp> {
  const update = await openUpdate(path, stamp, after, offset);
  if (update === undefined) throw new Error('the image can not be updated');
  const changed = changesOf(before, after, random);
  fillUpdate(update, after, changed);
  return update.commit({ changed, bitmaps: bitmapsOf(after), tail: after.tail });
}

/** Which of the memories the image holds, every page and the tail the same; `other` if none. */
export async function whichIs<Name extends string>(
  path: string,
  memories: Readonly<Partial<Record<Name, Memory>>>,
  offset = 0,
): Promise<Name | 'other'> {
  const image = await openImage(path, { offset });
  try {
    const tail = await image.readTail();
    if ((await image.sizes()).fileSize !== image.tail.offset + tail.length) return 'other';
    const contents = await Promise.all(
      image.blocks.map(async (block) => {
        const content = new Uint8Array(block.usedLength);
        await image.readPages(block, 0, content);
        const bitmap = await image.readBitmap(block);
        for (let page = 0; page < content.length / PAGE; page++) {
          if ((bitmap[page >> 3]! & (1 << (page & 7))) === 0)
            content.fill(0, page * PAGE, (page + 1) * PAGE);
        }
        return content;
      }),
    );
    for (const name of Object.keys(memories) as Name[]) {
      const { blocks, tail: expected } = memories[name]!;
      const same =
        blocks.length === contents.length &&
        blocks.every(({ content }, index) => Buffer.compare(content, contents[index]!) === 0);
      if (same && Buffer.compare(tail, expected) === 0) return name;
    }
    return 'other';
  } finally {
    await image.close();
  }
}

/** The hidden files of a folder, by their suffixes. */
export async function hiddenIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('.'));
  for (const name of names) expect(name).toMatch(/^\.multifd-/);
  return names.map((name) => name.slice(name.lastIndexOf('.'))).sort();
}
