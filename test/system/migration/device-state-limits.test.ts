import { join } from 'node:path';
import {
  inspectDevices,
  inspectImage,
  inspectRecording,
  readRecordingTail,
  receive,
  send,
} from 'multifd';
import { describe, expect, it } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { messages, writeRecording } from '../../support/recording.ts';
import { Source } from '../../support/peer.ts';
import {
  be32,
  concat,
  devicePacket,
  end,
  endOfSection,
  flush,
  header,
  name,
  start,
  syncPacket,
} from '../../support/wire.ts';
import {
  errorOf,
  type Incoming,
  leavingNothing,
  LAUNCHERS,
  PAGE,
  pageOf,
  receiving,
  withFolder,
} from '../../support/migration.ts';

/** A whole tail of one section, without a description. */
function tailOf(length: number): Uint8Array {
  const head = concat(Uint8Array.of(4), be32(9), name('dev'), be32(0), be32(2));
  const rest = concat(Uint8Array.of(0x7e), be32(9), Uint8Array.of(0));
  return concat(head, new Uint8Array(length - head.length - rest.length).fill(1), rest);
}

const MAIN = concat(
  header(),
  start([{ id: 'ram', length: 16 * PAGE }]),
  flush(),
  endOfSection(),
  end(),
  endOfSection(),
);

/** Receives `tail` on the main channel, and `packets` on channel 1. */
async function received(
  options: Partial<Incoming>,
  tail: Uint8Array,
  ...packets: Uint8Array[]
): Promise<string> {
  const blocks = { ram: new Uint8Array(16 * PAGE) };
  const { error } = await receiving({ blocks, ...options }, async (uri) => {
    const source = await Source.connect(uri, 2);
    source.channels[1]!.put(...packets);
    source.toAll(syncPacket());
    source.main.put(MAIN, tail);
    source.main.end();
    return source;
  });
  return error?.code ?? 'completed';
}

describe('device sections', () => {
  it('may be as long as is allowed, and no longer', async () => {
    await leavingNothing(async () => {
      expect(await received({ maxDeviceState: 5000 }, tailOf(5000))).toBe('completed');
      expect(await received({ maxDeviceState: 4999 }, tailOf(5000))).toBe('ERR_STREAM');
      expect(await received({}, tailOf(64 * 2 ** 20 + 1))).toBe('ERR_STREAM');
    });
  });

  it('of an image and of a recording likewise, wherever they are read', async () => {
    await withFolder(async (folder) => {
      const image = join(folder, 'image');
      const tail = tailOf(5000);
      await writeImage(image, [{ id: 'ram', content: pageOf(1) }], { tail });
      const recording = await writeRecording(join(folder, 'recording'), messages({ tail }));
      const copy = join(folder, 'copy');
      for (const [maxDeviceState, allowed] of [
        [5000, true],
        [4999, false],
      ] as const) {
        const loading = async (): Promise<void> => {
          const blocks = { ram: new Uint8Array(PAGE) };
          await (await receive({ uri: `file:${image}`, blocks, maxDeviceState })).completed;
        };
        const readers: Array<() => Promise<unknown>> = [
          () => inspectImage(image, { maxDeviceState }),
          () => inspectDevices(image, { maxDeviceState }),
          () => send({ image, uri: `file:${copy}-${maxDeviceState}`, maxDeviceState }),
          loading,
          () => readRecordingTail(recording, { maxDeviceState }),
        ];
        const refusal = { code: 'ERR_STREAM', message: expect.stringContaining('4999') };
        for (const read of readers) {
          if (allowed) await read();
          else expect(await errorOf(read())).toMatchObject(refusal);
        }
        const { problem } = await inspectRecording(recording, { maxDeviceState });
        expect(problem?.code).toBe(allowed ? undefined : 'ERR_STREAM');
      }
    });
  });
});

describe.each(LAUNCHERS)('DEVICE_STATE packets, with $name,', ({ inline }) => {
  it('may bring as much as is allowed, with what it takes to keep them', async () => {
    const packet = (index: number): Uint8Array => devicePacket('device', index, pageOf(1, 1000));
    const packets = Array.from({ length: 10 }, (_, index) => packet(index));
    const within = (maxDeviceState: number): Promise<string> =>
      received({ inline, maxDeviceState }, Uint8Array.of(0), ...packets);
    await leavingNothing(async () => {
      expect(await within(20_000)).toBe('completed');
      expect(await within(15_000)).toBe('ERR_PAYLOAD');
    });
  });
});
