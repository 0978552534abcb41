import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  openReturnPath,
  part,
  ramPacket,
  start,
  syncPacket,
  zeroPage,
} from './wire.ts';

/** A recording of a real QEMU. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/recordings/${name}`, import.meta.url));
}

/** A copy of it that a test may spoil. */
export async function copyOf(name: string, to: string): Promise<string> {
  await cp(fixture(name), to, { recursive: true });
  return to;
}

/** A file of a recording. */
export function bytesIn(path: string, file: string): Promise<Buffer> {
  return readFile(join(path, file));
}

const PAGE = 4096;

/**
 * The messages of a small migration, in order: one block of 16 pages, two channels, a sync per
 * round.
 */
export function messages({ returnPath = true, tail = endOfFile() } = {}): {
  main: Uint8Array[];
  channels: Uint8Array[][];
} {
  const pages = (fill: number, ...offsets: number[]): Uint8Array =>
    ramPacket(
      { block: 'ram', normal: offsets.map((page) => page * PAGE) },
      new Uint8Array(offsets.length * PAGE).fill(fill),
    );
  return {
    main: [
      header('none'),
      ...(returnPath ? [openReturnPath()] : []),
      concat(start([{ id: 'ram', length: 16 * PAGE }])),
      flush(),
      endOfSection(),
      part(),
      zeroPage(5 * PAGE, 'ram'),
      flush(),
      endOfSection(),
      end(),
      flush(),
      endOfSection(),
      tail,
    ],
    channels: [
      [
        initialPacket(0),
        syncPacket(),
        pages(1, 0, 1),
        ramPacket({ block: 'ram', zero: [2 * PAGE] }),
        syncPacket(),
        pages(2, 1),
        syncPacket(),
      ],
      [initialPacket(1), syncPacket(), pages(3, 8), syncPacket(), syncPacket()],
    ],
  };
}

/** Writes a recording as it would have been kept. */
export async function writeRecording(
  path: string,
  { main, channels }: { main: Uint8Array[]; channels: Uint8Array[][] },
): Promise<string> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'main'), concat(...main));
  for (const [id, parts] of channels.entries())
    await writeFile(join(path, `channel-${id}`), concat(...parts));
  return path;
}
