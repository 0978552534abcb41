import { send, type OutgoingOptions } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Target, type Wire } from '../../support/peer.ts';
import {
  concat,
  endOfFile,
  endOfSection,
  end,
  flush,
  header,
  openReturnPath,
  part,
  shut,
  start,
} from '../../support/wire.ts';
import { errorOf, LAUNCHERS, leavingNothing, PAGE, pageOf } from '../../support/migration.ts';

const CHANNELS = 2;
const PACKET = 320 + 8 * 128;
/** 1000 pages, of which every fourth is zero: page n is filled with n. */
const PAGES = 1000;
const MEMORY = new Uint8Array(PAGES * PAGE);
for (let page = 0; page < PAGES; page++)
  if (page % 4 !== 0) MEMORY.fill((page % 251) + 1, page * PAGE, (page + 1) * PAGE);

/** What the main channel of such a migration is, byte for byte. */
const MAIN = concat(
  ...[
    header(),
    openReturnPath(),
    start([{ id: 'ram', length: MEMORY.length }]),
    flush(),
    endOfSection(),
  ],
  ...[part(), flush(), endOfSection(), end(), flush(), endOfSection(), endOfFile()],
);

type Options = Partial<OutgoingOptions>;

/** Sends to a target in the test's hand, and gives what came of it. */
async function sendTo(
  options: Options,
  script: (target: Target) => Promise<void>,
): Promise<PromiseSettledResult<unknown>> {
  const target = await Target.listen();
  const sending = send({
    uri: target.uri,
    channels: CHANNELS,
    timeout: 20_000,
    blocks: [{ id: 'ram', source: MEMORY }],
    ...options,
  });
  const [result] = await Promise.allSettled([sending, script(target)]);
  await target.close();
  return result;
}

async function failureOf(
  options: Options,
  script: (target: Target) => Promise<void>,
): Promise<{ code: string; message: string }> {
  const result = await sendTo(options, script);
  expect(result.status).toBe('rejected');
  return errorOf(Promise.reject((result as PromiseRejectedResult).reason));
}

/** All connections of a source, whose channels are read to nowhere. */
async function greedy(target: Target): Promise<Wire> {
  const main = await target.accept();
  for (const channel of await target.channels(CHANNELS)) channel.ignore();
  return main;
}

describe.each(LAUNCHERS)('a target that goes away, $name', ({ inline }) => {
  it('is not there', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      await target.close();
      expect(
        (await errorOf(send({ uri: target.uri, inline, blocks: [{ id: 'ram', source: MEMORY }] })))
          .code,
      ).toBe('ERR_CONNECT');
    });
  });

  it('takes the main channel and no other', async () => {
    await leavingNothing(async () => {
      const { code } = await failureOf({ inline }, async (target) => {
        const main = await target.accept();
        await main.take(9);
        target.stopListening();
        main.destroy();
      });
      expect(['ERR_CONNECT', 'ERR_PEER_CLOSED']).toContain(code);
    });
  });

  it('closes after its header, after the first sync, in the middle of a packet', async () => {
    await leavingNothing(async () => {
      for (const bytes of [0, PACKET, PACKET + 320, 2 * PACKET + 100_000]) {
        const { code } = await failureOf({ inline }, async (target) => {
          const main = await target.accept();
          const channels = await target.channels(CHANNELS);
          await channels[0]!.take(bytes);
          for (const wire of [main, ...channels]) wire.reset();
        });
        expect(code).toBe('ERR_PEER_CLOSED');
      }
    });
  });

  it('takes everything, and closes without a word', async () => {
    await leavingNothing(async () => {
      const { code } = await failureOf({ inline }, async (target) => {
        const main = await greedy(target);
        await main.take(MAIN.length);
        main.end();
      });
      expect(code).toBe('ERR_PEER_CLOSED');
    });
  });

  it('says that it failed', async () => {
    await leavingNothing(async () => {
      for (const bytes of [9, MAIN.length]) {
        const { code, message } = await failureOf({ inline }, async (target) => {
          const main = await greedy(target);
          await main.take(bytes);
          main.put(shut(1));
        });
        expect(code).toBe('ERR_REMOTE');
        expect(message).toContain('status 1');
      }
    });
  });

  it('says that it has everything before it can have', async () => {
    await leavingNothing(async () => {
      const { code } = await failureOf({ inline, maxBandwidth: 1_000_000 }, async (target) => {
        const main = await greedy(target);
        main.put(shut(0));
      });
      expect(code).toBe('ERR_STREAM');
    });
  });

  it('says what is no message', async () => {
    await leavingNothing(async () => {
      for (const message of [
        Uint8Array.of(0, 9, 0, 0),
        Uint8Array.of(0, 1, 0, 3, 0, 0, 0),
        Uint8Array.of(0, 4, 0, 12),
      ]) {
        const { code } = await failureOf({ inline }, async (target) => {
          const main = await greedy(target);
          main.put(message);
        });
        expect(code).toMatch(/^ERR_(STREAM|UNSUPPORTED)$/);
      }
    });
  });

  it('reads nothing any more', async () => {
    await leavingNothing(async () => {
      // More than the kernel takes for a peer that does not read.
      const blocks = [{ id: 'ram', source: new Uint8Array(64 * 2 ** 20).fill(1) }];
      const { code } = await failureOf({ inline, blocks, timeout: 600 }, async (target) => {
        await target.accept();
        await target.channels(CHANNELS);
      });
      expect(code).toBe('ERR_TIMEOUT');
    });
  });

  it('never says that it has everything', async () => {
    await leavingNothing(async () => {
      const { code } = await failureOf({ inline, timeout: 600 }, async (target) => {
        const main = await greedy(target);
        main.ignore();
      });
      expect(code).toBe('ERR_TIMEOUT');
    });
  });

  it('is not asked: without a return path all is done once it is sent', async () => {
    await leavingNothing(async () => {
      const result = await sendTo({ inline, returnPath: false }, async (target) => {
        const main = await greedy(target);
        const expected = concat(
          MAIN.subarray(0, header().length),
          MAIN.subarray(header().length + openReturnPath().length),
        );
        expect(Buffer.compare(await main.rest(), expected)).toBe(0);
      });
      expect(result.status).toBe('fulfilled');
    });
  });
});

describe.each(LAUNCHERS)('what a target gets, $name', ({ inline }) => {
  it("is QEMU's format, byte for byte", async () => {
    const memory = new Uint8Array(new SharedArrayBuffer(MEMORY.length));
    memory.set(MEMORY);
    const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    const numbers: bigint[] = [];
    const seen = new Set<number>();
    const result = await leavingNothing(() =>
      sendTo({ inline, uuid, blocks: [{ id: 'ram', source: memory }] }, async (target) => {
        const main = await target.accept();
        const wires = [await target.accept(), await target.accept()];
        const ids: number[] = [];
        for (const wire of wires) {
          const initial = await wire.take(64);
          expect(initial.subarray(0, 8).toString('hex')).toBe('1122334400000001');
          expect([...initial.subarray(8, 24)]).toEqual([...uuid]);
          ids.push(initial[24]!);
          expect(initial.subarray(25).every((byte) => byte === 0)).toBe(true);
        }
        expect(ids.sort()).toEqual([0, 1]);
        await Promise.all(wires.map((wire) => readPackets(wire, numbers, seen)));
        expect(Buffer.compare(await main.rest(), MAIN)).toBe(0);
        main.put(shut(0));
      }),
    );
    expect(result).toMatchObject({
      status: 'fulfilled',
      value: { ram: { normal: 750, duplicate: 250, 'dirty-sync-count': 3 } },
    });
    expect(seen.size).toBe(PAGES);
    // One counter over all channels: every number once.
    expect(numbers.map(Number).sort((a, b) => a - b)).toEqual(Array.from(numbers.keys()));
  });
});

/**
 * Reads a channel up to its third sync, and checks each packet against the layout and each page
 * against the memory.
 */
async function readPackets(wire: Wire, numbers: bigint[], seen: Set<number>): Promise<void> {
  for (let syncs = 0; syncs < 3; ) {
    const bytes = await wire.take(PACKET);
    const view = new DataView(bytes.buffer, bytes.byteOffset, PACKET);
    const word = (at: number): number => view.getUint32(at);
    expect([word(0), word(4), word(12)]).toEqual([0x11223344, 1, 128]);
    expect(
      bytes.subarray(36, 64).every((byte) => byte === 0),
      'the reserved bytes',
    ).toBe(true);
    const [flags, normal, size, zero] = [word(8), word(16), word(20), word(32)];
    numbers.push(view.getBigUint64(24));
    const offsets = Array.from({ length: 128 }, (_, i) => Number(view.getBigUint64(320 + 8 * i)));
    if ((flags & 1) !== 0) {
      // QEMU 9 and later send SYNC alone.
      expect([flags, normal, size, zero]).toEqual([1, 0, 0, 0]);
      expect(bytes.subarray(64).every((byte) => byte === 0)).toBe(true);
      syncs++;
      continue;
    }
    expect([flags, size]).toEqual([0, normal * PAGE]);
    expect(normal + zero).toBeGreaterThan(0);
    expect(bytes.toString('latin1', 64, 320)).toBe('ram'.padEnd(256, '\0'));
    expect(offsets.slice(normal + zero).every((offset) => offset === 0)).toBe(true);
    const pages = await wire.take(normal * PAGE);
    for (const [index, offset] of offsets.slice(0, normal + zero).entries()) {
      expect(seen.has(offset), `page ${offset} twice`).toBe(false);
      seen.add(offset);
      const content = index < normal ? pages.subarray(index * PAGE, (index + 1) * PAGE) : pageOf(0);
      expect(Buffer.compare(content, MEMORY.subarray(offset, offset + PAGE))).toBe(0);
    }
  }
}
