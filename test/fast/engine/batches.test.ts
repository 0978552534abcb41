import { type OutgoingOptions, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Target } from '../../support/peer.ts';
import { type Packet, parsePackets } from '../../support/wire.ts';

const BATCH_BYTES = 512 * 1024;
const CHANNELS = 3;
const PAGE_SIZES = [4096, 65536, BATCH_BYTES];

type Ram = Packet & { kind: 'ram' };

/** A block whose every page says, in its first 8 bytes, whose and which it is. */
function block(
  index: number,
  pages: number,
  pageSize: number,
  shared: boolean,
): { id: string; source: Uint8Array | SharedArrayBuffer } {
  const buffer = shared
    ? new SharedArrayBuffer(pages * pageSize)
    : new ArrayBuffer(pages * pageSize);
  const view = new DataView(buffer);
  for (let page = 0; page < pages; page++) {
    view.setUint32(page * pageSize, 1 + index);
    view.setUint32(page * pageSize + 4, page);
  }
  return {
    id: `block ${index}`,
    source: shared ? (buffer as SharedArrayBuffer) : new Uint8Array(buffer),
  };
}

async function sendAndListen(
  options: Omit<OutgoingOptions, 'uri'> & { pageSize: number },
): Promise<Packet[][]> {
  const target = await Target.listen();
  const listen = async (): Promise<Packet[][]> => {
    (await target.accept()).ignore();
    const wires = await target.channels(CHANNELS);
    const all = await Promise.all(wires.map((wire) => wire.rest()));
    return all.map((bytes) => parsePackets(bytes, options.pageSize));
  };
  const [channels] = await Promise.all([
    listen(),
    send({ uri: target.uri, channels: CHANNELS, returnPath: false, ...options }),
  ]);
  await target.close();
  return channels;
}

/** The packets of all channels between their syncs: by round, in no order. */
function rounds(channels: Packet[][]): Packet[][] {
  const all: Packet[][] = [];
  for (const packets of channels) {
    let round = 0;
    for (const packet of packets) {
      if (packet.kind === 'sync') round++;
      else (all[round] ??= []).push(packet);
    }
  }
  return Array.from(all, (packets) => packets ?? []);
}

describe.each(PAGE_SIZES)('pages of %i bytes', (pageSize) => {
  const capacity = BATCH_BYTES / pageSize;
  const lengths = [2 * capacity + Math.ceil(capacity / 2), 1, 2 * capacity, capacity + 1];

  it.each([
    ['shared memory, workers', true, false],
    ['shared memory, inline', true, true],
    ['memory that only the owner sees, workers', false, false],
  ])(
    'a full batch, a change of block and a sync send a packet, and nothing else does: %s',
    async (_, shared, inline) => {
      const blocks = lengths.map((pages, index) => block(index, pages, pageSize, shared));
      const channels = await sendAndListen({ blocks, pageSize, inline, zeroPageDetection: 'none' });
      const [setUp, pages, ...rest] = rounds(channels);
      expect([setUp, ...rest]).toEqual([[]]);

      const packets = (pages as Ram[]).sort(
        (a, b) => a.block.localeCompare(b.block) || a.normal[0]! - b.normal[0]!,
      );
      const expected = lengths.flatMap((count, index) => {
        const batches: [string, number][] = [];
        for (let left = count; left > 0; left -= capacity)
          batches.push([`block ${index}`, Math.min(left, capacity)]);
        return batches;
      });
      expect(packets.map(({ block: id, normal }) => [id, normal.length])).toEqual(expected);
      expect(new Set(packets.map(({ pagesAlloc }) => pagesAlloc))).toEqual(new Set([capacity]));
      for (const { block: id, normal, pages: content } of packets) {
        const view = new DataView(content.buffer, content.byteOffset);
        for (const [at, offset] of normal.entries()) {
          expect([
            `block ${view.getUint32(at * pageSize) - 1}`,
            view.getUint32(at * pageSize + 4),
          ]).toEqual([id, offset / pageSize]);
        }
      }
      // One number for each packet of all channels, the syncs among them.
      const numbers = channels
        .flat()
        .flatMap((packet) => (packet.kind === 'device' ? [] : [packet.number]));
      expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_, n) => n));
    },
  );
});

it('a part-filled batch and device state are sent before the sync that ends their round', async () => {
  const deviceState = [0, 1, 2, 3, 4].map((instanceId) => ({
    idstr: 'a device',
    instanceId,
    data: Uint8Array.of(instanceId),
  }));
  const channels = await sendAndListen({
    blocks: [block(0, 3, 4096, true)],
    pageSize: 4096,
    deviceState,
  });
  for (const packets of channels)
    expect(packets.filter(({ kind }) => kind === 'sync')).toHaveLength(3);
  const [, pages, devices, after] = rounds(channels);
  expect(pages).toMatchObject([{ kind: 'ram', normal: [0, 4096, 8192] }]);
  expect(devices!.map((packet) => packet.kind === 'device' && packet.bytes[0]).sort()).toEqual([
    0, 1, 2, 3, 4,
  ]);
  expect(after).toBeUndefined();
});
