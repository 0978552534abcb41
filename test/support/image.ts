import { writeSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ImageWriter, type ImageWriterOptions } from '../../src/image/index.ts';
import {
  bitmapLength,
  buildTail,
  type Configuration,
  type DeviceRecord,
} from '../../src/stream/index.ts';

export const PAGE = 4096;
export const CONFIGURATION: Configuration = { machine: 'test', capabilities: [] };

/** A folder that goes with the test. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'multifd-image-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A bitmap with the bits of the given pages. */
export function bitmapOf(pages: Iterable<number>, length: number): Uint8Array {
  const bitmap = new Uint8Array(length);
  for (const page of pages) bitmap[page >> 3]! |= 1 << (page & 7);
  return bitmap;
}

/** Which pages of `content` hold anything but zeros. */
export function nonZeroPages(content: Uint8Array, pageSize = PAGE): number[] {
  const pages: number[] = [];
  for (let page = 0; page < content.length / pageSize; page++) {
    if (content.subarray(page * pageSize, (page + 1) * pageSize).some((byte) => byte !== 0))
      pages.push(page);
  }
  return pages;
}

export interface Block {
  id: string;
  content: Uint8Array;
}

export interface ImageInput extends ImageWriterOptions {
  configuration?: Configuration;
  pageSize?: number;
  /** Bytes that follow the RAM; else what `records` give. */
  tail?: Uint8Array;
  records?: readonly DeviceRecord[];
}

/** Writes an image whose blocks hold `content`, zero pages left out. */
export async function writeImage(
  path: string,
  blocks: readonly Block[],
  input: ImageInput = {},
): Promise<void> {
  const {
    configuration = CONFIGURATION,
    pageSize = PAGE,
    records = [],
    tail = buildTail(records, pageSize),
    ...options
  } = input;
  const writer = await ImageWriter.create(path, options);
  try {
    const shapes = blocks.map(({ id, content }) => ({ id, usedLength: content.length }));
    const plan = await writer.begin(configuration, shapes, pageSize);
    const bitmaps = plan.blocks.map(({ pagesOffset }, index) => {
      const { content } = blocks[index]!;
      const pages = nonZeroPages(content, pageSize);
      for (const page of pages)
        writeSync(writer.fd, content, page * pageSize, pageSize, pagesOffset + page * pageSize);
      return bitmapOf(pages, bitmapLength(content.length, pageSize));
    });
    await writer.writeBitmaps(bitmaps);
    await writer.appendTail(tail);
    await writer.commit();
  } finally {
    await writer.discard();
  }
}

/** Overwrites bytes of a file. */
export async function patch(path: string, position: number, content: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+');
  await handle.write(content, 0, content.length, position).finally(() => handle.close());
}
