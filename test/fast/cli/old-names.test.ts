import { join } from 'node:path';
import { inspectImage, inspectRecording } from 'multifd';
import { expect, test } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { withFolder } from '../../support/migration.ts';
import { fixture } from '../../support/recording.ts';

const PAGE = 4096;

/** Names in a report that are written in the other way, and what they are now. */
const OLD: Readonly<Record<string, string>> = {
  usedLength: 'used-length',
  present: 'normal',
  zero: 'duplicate',
  presentBytes: 'normal-bytes',
  bitmapOffset: 'bitmap-offset',
  pagesOffset: 'pages-offset',
  pageSize: 'page-size',
  fileSize: 'file-size',
  sizeOnDisk: 'size-on-disk',
  tailBytes: 'tail-bytes',
  instanceId: 'instance-id',
  mainNormal: 'main-normal',
  mainZero: 'main-duplicate',
  deviceState: 'device-state',
  returnPath: 'return-path',
  syncMode: 'sync-mode',
  ramSections: 'ram-sections',
  duration: 'total-time',
  mainBytes: 'precopy-bytes',
};

/** Each object of a report has each old name beside the new one. @returns the old names. */
function oldNamesIn(report: object): string[] {
  const names = Object.keys(report).filter((name) => name in OLD || /[A-Z]/.test(name));
  for (const name of names)
    expect((report as Record<string, unknown>)[OLD[name]!], name).toEqual(
      (report as Record<string, unknown>)[name],
    );
  const inner = Object.values(report).filter(
    (value) => typeof value === 'object' && value !== null,
  );
  return [...names, ...inner.flatMap(oldNamesIn)];
}

test('reports have the names of a result, and those of before with the same values', async () => {
  await withFolder(async (folder) => {
    const image = join(folder, 'image');
    await writeImage(image, [{ id: 'ram', content: new Uint8Array(3 * PAGE).fill(1, 0, PAGE) }]);
    const report = await inspectImage(image);
    expect(report).toMatchObject({
      'page-size': PAGE,
      blocks: [{ 'used-length': 3 * PAGE, normal: 1, duplicate: 2, 'normal-bytes': PAGE }],
      totals: { 'used-length': 3 * PAGE, normal: 1, duplicate: 2 },
    });
    const recording = await inspectRecording(fixture('qemu-10.0-microvm-zlib'));
    const found = new Set([...oldNamesIn(report), ...oldNamesIn(recording)]);
    expect([...found].sort()).toEqual(Object.keys(OLD).sort());
    expect(recording.bytes).toBe(recording.transferred);
  });
});
