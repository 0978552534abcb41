import { join } from 'node:path';
import {
  type Compression,
  inspectRecording,
  receive,
  readRecordingTail,
  record,
  replay,
} from 'multifd';
import { expect, test } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { GrowingSource } from '../../support/growing.ts';
import { Random, SEED } from '../../support/random.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  memSize,
  part,
  ramHeader,
  ramPacket,
  shut,
  start,
  syncPacket,
  zeroPage,
} from '../../support/wire.ts';
import { writeRecording } from '../../support/recording.ts';

const PAGE = 4096;
const COMPRESSIONS: readonly Compression[] = ['none', 'zlib', 'zstd'];

test.each(COMPRESSIONS)(
  'a migration of blocks that grow is recorded, looked into and replayed, compression %s ' +
    `(seed ${SEED})`,
  async (compression) => {
    const random = new Random(SEED);
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'rec');
        const recording = await record({ uri: `unix:${folder}/socket`, path });
        const source = await GrowingSource.connect(
          recording.uri,
          2,
          { ram: 10, rom: 2 },
          compression,
          random,
        );
        source.round();
        for (let round = 0; round < 5; round++)
          source.grow({ ram: random.below(200), rom: random.below(2) });
        expect(await source.finish()).toEqual(shut(0));
        await recording.completed;
        await source.close();

        const report = await inspectRecording(path);
        expect(report).toMatchObject({ problem: null, answered: 0, compression, syncs: 13 });
        expect(report.blocks.map(({ id, usedLength }) => [id, usedLength])).toEqual(
          source.blocks.map(({ id, bytes }) => [id, bytes.length]),
        );
        expect(await readRecordingTail(path)).toEqual(endOfFile());

        const memories = {
          ram: new WebAssembly.Memory({ initial: 0, maximum: 100, shared: true }),
          rom: new WebAssembly.Memory({ initial: 0, maximum: 100, shared: true }),
        };
        const incoming = await receive({
          uri: `unix:${folder}/socket`,
          blocks: memories,
          compression,
        });
        await replay({ path, uri: incoming.uri });
        await incoming.completed;
        for (const { id, bytes } of source.blocks)
          expect(
            Buffer.compare(new Uint8Array(memories[id as 'ram'].buffer, 0, bytes.length), bytes),
            id,
          ).toBe(0);

        // An image can't follow: the replay is told, and no image is left.
        const image = await receive({
          uri: `unix:${folder}/socket`,
          image: join(folder, 'image'),
          compression,
        });
        const [target, player] = await Promise.all([
          errorOf(image.completed),
          errorOf(replay({ path, uri: image.uri })),
        ]);
        expect([target.code, player.code]).toEqual(['ERR_UNSUPPORTED', 'ERR_REMOTE']);
      }),
    );
  },
);

/** One block of 16 pages that grows to 20 before its second round. */
function recorded(...second: Uint8Array[]): { main: Uint8Array[]; channels: Uint8Array[][] } {
  const list = (pages: number) => [{ id: 'ram', length: pages * PAGE }];
  const main = [
    header(),
    start(list(16)),
    flush(),
    endOfSection(),
    part(),
    flush(),
    endOfSection(),
    part(),
    memSize(list(20)),
    flush(),
    zeroPage(17 * PAGE, 'ram'),
    flush(),
    endOfSection(),
    end(),
    flush(),
    endOfSection(),
    endOfFile(),
  ];
  const first = ramPacket({ block: 'ram', normal: [0] }, new Uint8Array(PAGE).fill(1));
  return {
    main,
    channels: [
      [
        initialPacket(0),
        syncPacket(),
        first,
        syncPacket(),
        syncPacket(),
        ...second,
        syncPacket(),
        syncPacket(),
      ],
    ],
  };
}

test.each<[string, { main: Uint8Array[]; channels: Uint8Array[][] }, object | null]>([
  ['a page of what has grown', recorded(ramHeader({ block: 'ram', zero: [19 * PAGE] })), null],
  [
    'a page behind even that',
    recorded(ramHeader({ block: 'ram', zero: [20 * PAGE] })),
    { code: 'ERR_PAGE_OFFSET', channel: 0, packet: 4 },
  ],
  [
    'a page of what grows only later',
    (({ main, channels }) => ({
      main,
      channels: [
        [
          ...channels[0]!.slice(0, 2),
          ramHeader({ block: 'ram', zero: [16 * PAGE] }),
          ...channels[0]!.slice(2),
        ],
      ],
    }))(recorded()),
    { code: 'ERR_PAGE_OFFSET', channel: 0, packet: 1 },
  ],
])('in a recording, %s', async (_, sent, problem) => {
  await withFolder(async (folder) => {
    const report = await inspectRecording(await writeRecording(join(folder, 'rec'), sent));
    if (problem === null) expect(report.problem).toBeNull();
    else expect(report.problem).toMatchObject(problem);
    expect(report.blocks).toMatchObject([{ id: 'ram', usedLength: 20 * PAGE, mainZero: 1 }]);
    expect(concat(...sent.main).length).toBe(report.mainBytes);
  });
});
