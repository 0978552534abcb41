import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspectImage } from 'multifd';
import { afterEach, expect, test, vi } from 'vitest';
import { type Ended, run, startReceiver, temporaryFolder } from '../../support/command.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const LIMIT = 300_000_000;

afterEach(() => vi.unstubAllEnvs());

test('an 8 GiB image with 1 GiB of data is migrated in less than 300 MB of memory at each end', async () => {
  const folder = await temporaryFolder();
  const raw = join(folder, 'raw');
  const image = join(folder, 'source.img');
  const file = await open(raw, 'w');
  for (let part = 0; part < 8; part++) {
    const data = Buffer.alloc(128 * MIB, `part ${part} of the data, no page of which is zero; `);
    await file.write(data, 0, data.length, part * GIB + 100 * MIB);
  }
  await file.truncate(8 * GIB);
  await file.close();
  expect((await run('send', raw, `file:${image}`, '--quiet')).status).toBe(0);

  vi.stubEnv(
    'NODE_OPTIONS',
    `--require ${fileURLToPath(new URL('../../support/peak.cjs', import.meta.url))}`,
  );
  const copy = join(folder, 'copy.img');
  const { receiver, uri } = await startReceiver(`unix:${join(folder, 'socket')}`, copy);
  const ends = [await run('send', image, uri), await receiver.ended];
  expect(ends.map(({ status }) => status)).toEqual([0, 0]);
  for (const end of ends) expect(peakOf(end)).toBeLessThan(LIMIT);

  const [from, to] = [await inspectImage(image), await inspectImage(copy)];
  expect(to.blocks).toEqual(from.blocks);
  expect(to.blocks[0]).toMatchObject({ present: GIB / 4096, zero: (7 * GIB) / 4096 });
  expect(to.sizeOnDisk).toBeLessThan(1.1 * GIB);
}, 300_000);

/** Bytes. */
function peakOf({ stderr }: Ended): number {
  const peak = /peak memory: (\d+) KiB/.exec(stderr);
  expect(peak).not.toBeNull();
  return Number(peak![1]) * 1024;
}
