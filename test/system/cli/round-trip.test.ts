import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { randomBytes, SEED } from '../../support/random.ts';
import { run, startReceiver, temporaryFolder } from '../../support/command.ts';

const MIB = 2 ** 20;

const COMPRESSIONS = ['none', 'zlib', 'zstd'] as const;
type Transport = 'tcp' | 'unix';

interface Case {
  content: () => Uint8Array;
  channels: number;
  compression: (typeof COMPRESSIONS)[number];
  transport: Transport;
}

/** Half noise, half text, some pages zero, and a last page that is not whole. */
function mixed(): Uint8Array {
  const bytes = Buffer.alloc(20 * MIB + 1234);
  bytes.set(randomBytes(`${SEED}`, 10 * MIB));
  bytes.fill('a memory that compresses ', 12 * MIB);
  return bytes;
}

const LARGE: Case[] = COMPRESSIONS.flatMap((compression, method) =>
  [1, 2, 4, 16].map(
    (channels, index): Case => ({
      content: mixed,
      channels,
      compression,
      transport: (method + index) % 2 === 0 ? 'tcp' : 'unix',
    }),
  ),
);

const SMALL: (Case & { name: string })[] = [
  { name: 'empty', content: () => new Uint8Array(0) },
  { name: '1 byte', content: () => Uint8Array.of(0xa5) },
  { name: '1 byte, zero', content: () => Uint8Array.of(0) },
  { name: 'a byte more than a page', content: () => randomBytes(`${SEED}`, 4097) },
  { name: 'a byte less than two packets', content: () => randomBytes(`${SEED}`, MIB - 1) },
].flatMap((file, index) =>
  COMPRESSIONS.map((compression, method): Case & { name: string } => ({
    ...file,
    compression,
    channels: [1, 2, 4, 16][(index + method) % 4]!,
    transport: (index + method) % 2 === 0 ? 'unix' : 'tcp',
  })),
);

interface Sent {
  /** Where the block's file came out again. */
  copy: string;
  image: string;
}

/** `receive`, `send`, `extract`: all have to end well. */
async function roundTrip(
  source: string,
  folder: string,
  transport: Transport,
  ...options: readonly string[]
): Promise<Sent> {
  const image = join(folder, 'image');
  const copy = join(folder, 'copy');
  const { receiver, uri } = await startReceiver(
    transport === 'tcp' ? 'tcp:127.0.0.1:0' : `unix:${folder}/socket`,
    image,
    ...options,
  );
  expect(await run('send', source, uri, ...options)).toMatchObject({ status: 0, stderr: '' });
  expect(await receiver.ended).toMatchObject({ status: 0, stderr: '' });
  expect(await run('extract', image, 'source.bin', copy)).toMatchObject({ status: 0, stderr: '' });
  return { copy, image };
}

async function checkCase({ content, channels, compression, transport }: Case): Promise<void> {
  const folder = await temporaryFolder();
  const source = join(folder, 'source.bin');
  const bytes = content();
  await writeFile(source, bytes);
  const { copy } = await roundTrip(
    source,
    folder,
    transport,
    '--channels',
    String(channels),
    '--compression',
    compression,
  );
  const received = await readFile(copy);
  expect(received.length).toBe(bytes.length);
  expect(Buffer.compare(received, bytes), 'the bytes that came back are the ones that left').toBe(
    0,
  );
}

describe(`send, receive and extract give a file back bit for bit (SEED ${SEED})`, () => {
  test.each(LARGE)('20 MiB, $channels channels, $compression, $transport', checkCase);
  test.each(SMALL)('$name, $channels channels, $compression, $transport', checkCase);

  test.each(['none', 'legacy', 'multifd'])('with zero page detection %s', async (detection) => {
    const folder = await temporaryFolder();
    const source = join(folder, 'source.bin');
    const bytes = new Uint8Array(3 * MIB);
    bytes.set(randomBytes(`${SEED}`, MIB), MIB);
    await writeFile(source, bytes);
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', join(folder, 'image'));
    await run('send', source, uri, '--zero-page-detection', detection);
    expect(await receiver.ended).toMatchObject({ status: 0 });
    await run('extract', join(folder, 'image'), 'source.bin', join(folder, 'copy'));
    expect(Buffer.compare(await readFile(join(folder, 'copy')), bytes)).toBe(0);
  });

  test('with pages of 64 KiB', async () => {
    const folder = await temporaryFolder();
    const source = join(folder, 'source.bin');
    const bytes = randomBytes(`${SEED}`, MIB + 77);
    await writeFile(source, bytes);
    const { copy } = await roundTrip(source, folder, 'unix', '--page-size', '64K');
    expect(Buffer.compare(await readFile(copy), bytes)).toBe(0);
  });
});

describe('holes', () => {
  test('an all-zero file takes next to nothing on the disk, at its full length', async () => {
    const folder = await temporaryFolder();
    const source = join(folder, 'source.bin');
    await writeFile(source, '');
    await truncate(source, 64 * MIB + 5);
    const { copy, image } = await roundTrip(source, folder, 'tcp');
    const copied = await stat(copy);
    expect(copied.size).toBe(64 * MIB + 5);
    expect(copied.blocks).toBe(0);
    expect((await stat(image)).blocks * 512).toBeLessThan(256 * 1024);
  });

  test('a sparse file beyond 4 GiB keeps its few pages, and its holes', async () => {
    const folder = await temporaryFolder();
    const source = join(folder, 'source.bin');
    const length = 2 ** 32 + 3 * MIB + 1;
    const piece = randomBytes(`${SEED}`, 8192);
    const places = [0, 2 ** 31 - 4096, 2 ** 32 - 4096, length - piece.length];
    const file = await open(source, 'w');
    for (const place of places) await file.write(piece, 0, piece.length, place);
    await file.close();

    const { copy } = await roundTrip(source, folder, 'unix', '--channels', '2');
    const { size, blocks } = await stat(copy);
    expect(size).toBe(length);
    // As few pages on the disk as pieces cover, and one where the file system lists them: so all
    // else is a hole, and zero.
    expect(blocks * 512).toBeLessThanOrEqual((3 * 2 + 3 + 1) * 4096);
    const copied = await open(copy);
    for (const place of places) {
      const { buffer } = await copied.read(Buffer.alloc(piece.length), 0, piece.length, place);
      expect(Buffer.compare(buffer, piece), `the bytes at ${place}`).toBe(0);
    }
    await copied.close();
  });
});
