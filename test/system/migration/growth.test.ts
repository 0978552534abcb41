import type { BlockTarget, Compression, IncomingBlock, MigrationStatistics } from 'multifd';
import { describe, expect, it } from 'vitest';
import { GrowingSource } from '../../support/growing.ts';
import { Source } from '../../support/peer.ts';
import { Random, SEED } from '../../support/random.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  memSize,
  openReturnPath,
  part,
  ramPacket,
  shut,
  start,
  syncPacket,
  zeroPage,
} from '../../support/wire.ts';
import {
  type Incoming,
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  refusal,
} from '../../support/migration.ts';

const WASM_PAGE = 65536;
const COMPRESSIONS: readonly Compression[] = ['none', 'zlib', 'zstd'];

/** A target that a block may grow in, and how to see what has come. */
interface Growing {
  target: BlockTarget | ((block: IncomingBlock) => BlockTarget | Promise<BlockTarget>);
  bytes: () => Uint8Array;
}

function memory(shared: boolean, initial = 0): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial, maximum: 100, shared });
}

/** Grows as a program's own allocator would: by more than it was asked for. */
function ensure(grown: WebAssembly.Memory, bytes: number): void {
  if (grown.buffer.byteLength < bytes)
    grown.grow(1 + Math.ceil((bytes - grown.buffer.byteLength) / WASM_PAGE));
}

const wasm = (shared: boolean, initial?: number) => (): Growing => {
  const target = memory(shared, initial);
  return { target, bytes: () => new Uint8Array(target.buffer) };
};

const ownGrowth = (shared: boolean) => (): Growing => {
  const target = memory(shared, 1);
  const asked = async ({ usedLength }: IncomingBlock): Promise<BlockTarget> => {
    await Promise.resolve();
    ensure(target, usedLength);
    return target;
  };
  return { target: asked, bytes: () => new Uint8Array(target.buffer) };
};

const SHARED: Record<string, () => Growing> = {
  'a shared memory without a page': wasm(true),
  'a shared memory with room for all of it': wasm(true, 100),
  'a shared memory that its program grows': ownGrowth(true),
  'a SharedArrayBuffer with room': () => {
    const target = new SharedArrayBuffer(400 * PAGE);
    return { target, bytes: () => new Uint8Array(target) };
  },
  'the same part of a shared buffer each time': () => {
    const whole = new Uint8Array(new SharedArrayBuffer(400 * PAGE));
    return { target: () => whole.subarray(PAGE), bytes: () => whole.subarray(PAGE) };
  },
};

const UNSHARED: Record<string, () => Growing> = {
  ...SHARED,
  'a memory without a page': wasm(false),
  'a memory with room': wasm(false, 100),
  'a memory that its program grows': ownGrowth(false),
  'a view of a memory that its program grows': () => {
    const whole = memory(false, 1);
    const target = ({ usedLength }: IncomingBlock): BlockTarget => {
      ensure(whole, usedLength + 8);
      return new Uint8Array(whole.buffer, 8, usedLength);
    };
    return { target, bytes: () => new Uint8Array(whole.buffer, 8) };
  },
  'an array that is moved': () => {
    let bytes = new Uint8Array(0);
    const target = ({ usedLength }: IncomingBlock): BlockTarget => {
      const before = bytes;
      bytes = new Uint8Array(usedLength);
      bytes.set(before);
      return bytes;
    };
    return { target, bytes: () => bytes };
  },
  'a page sink': () => {
    const bytes = new Uint8Array(400 * PAGE);
    const target = {
      async write(offset: number, pages: Uint8Array) {
        await Promise.resolve();
        bytes.set(pages, offset);
      },
      zero: (offset: number, length: number) => void bytes.fill(0, offset, offset + length),
    };
    return { target, bytes: () => bytes };
  },
};

/**
 * Receives into one block of each kind, with rounds in which some of them grow; checks every byte.
 */
async function growing(
  kinds: Record<string, () => Growing>,
  random: Random,
  options: Incoming & { compression: Compression },
): Promise<MigrationStatistics> {
  const targets = Object.fromEntries(Object.entries(kinds).map(([kind, make]) => [kind, make()]));
  const blocks = (block: IncomingBlock): BlockTarget | Promise<BlockTarget> => {
    const { target } = targets[block.id]!;
    return typeof target === 'function' ? target(block) : target;
  };
  let played: GrowingSource | undefined;
  let heard: Uint8Array | undefined;
  const { error, statistics } = await receiving(
    { ...options, blocks, channels: 3 },
    async (uri) => {
      played = await GrowingSource.connect(
        uri,
        3,
        Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 1 + random.below(40)])),
        options.compression,
        random,
      );
      played.round();
      for (let round = 0; round < 8; round++)
        played.grow(
          Object.fromEntries(
            Object.keys(kinds).map((kind) => [kind, random.chance(0.5) ? 0 : random.below(40)]),
          ),
        );
      heard = await played.finish();
      return played;
    },
  );
  expect(error).toBeUndefined();
  expect(heard).toEqual(shut(0));
  for (const { id, bytes } of played!.blocks)
    expect(Buffer.compare(targets[id]!.bytes().subarray(0, bytes.length), bytes), id).toBe(0);
  expect(statistics!.blocks).toEqual(
    played!.blocks.map(({ id, bytes }) => ({ id, 'used-length': bytes.length })),
  );
  expect(statistics!.ram.total).toBe(
    played!.blocks.reduce((sum, { bytes }) => sum + bytes.length, 0),
  );
  return statistics!;
}

describe(`blocks that grow on their way (seed ${SEED})`, () => {
  describe.each(LAUNCHERS)('with $name', ({ inline }) => {
    it.each(COMPRESSIONS)(
      'in memory that every thread sees, compression %s',
      async (compression) => {
        await leavingNothing(() => growing(SHARED, new Random(SEED), { inline, compression }));
      },
    );

    it.each(COMPRESSIONS)('in memory of any kind, compression %s', async (compression) => {
      await leavingNothing(() => growing(UNSHARED, new Random(SEED + 1), { inline, compression }));
    });

    it.each(COMPRESSIONS)(
      'in memory that is said to be zero, which it is, compression %s',
      async (compression) => {
        await leavingNothing(() =>
          growing(UNSHARED, new Random(SEED + 2), { inline, compression, zeroed: true }),
        );
      },
    );
  });
});

const BLOCKS = [
  { id: 'ram', length: 16 * PAGE },
  { id: 'rom', length: 2 * PAGE },
];
const list = (ram: number, rom = 2): { id: string; length: number }[] => [
  { id: 'ram', length: ram * PAGE },
  { id: 'rom', length: rom * PAGE },
];
const BEGUN = concat(header(), start(BLOCKS), flush(), endOfSection(), part());
const FINISH = concat(endOfSection(), end(), flush(), endOfSection(), endOfFile());

function targets(): Record<string, WebAssembly.Memory> {
  return { ram: memory(true), rom: memory(true) };
}

describe('a function is asked for its target', () => {
  it('when the migration begins, and each time that the block has grown, with its new length', async () => {
    const asked: IncomingBlock[] = [];
    const memories = targets();
    const blocks = (block: IncomingBlock): BlockTarget => {
      asked.push({ ...block });
      return memories[block.id]!;
    };
    await leavingNothing(async () => {
      const { error } = await receiving({ blocks }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.toAll(...Array.from({ length: 5 }, () => syncPacket()));
        source.main.put(
          BEGUN,
          memSize(list(16)),
          flush(),
          memSize(list(20)),
          flush(),
          memSize(list(20, 3)),
          flush(),
          FINISH,
        );
        return source;
      });
      expect(error).toBeUndefined();
    });
    expect(asked.map(({ id, usedLength }) => [id, usedLength / PAGE])).toEqual([
      ['ram', 16],
      ['rom', 2],
      ['ram', 20],
      ['rom', 3],
    ]);
  });
});

describe.each(LAUNCHERS)('with $name, growth ends the migration', ({ inline }) => {
  const grown = (source: Source, length = 100): void => {
    source.toAll(syncPacket(), syncPacket());
    source.main.put(BEGUN, memSize(list(length)), flush());
  };

  it.each<[string, () => BlockTarget, string]>([
    [
      'a memory at its maximum',
      () => new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true }),
      'maximum',
    ],
    [
      'a memory at its maximum that is not shared',
      () => new WebAssembly.Memory({ initial: 1, maximum: 2 }),
      'maximum',
    ],
    ['a SharedArrayBuffer', () => new SharedArrayBuffer(99 * PAGE), 'more room'],
    ['an array', () => new Uint8Array(99 * PAGE), 'more room'],
  ])('in %s without room', async (_, make, advice) => {
    await leavingNothing(async () => {
      const error = await refusal({ inline, blocks: { ram: make(), rom: memory(true) } }, grown);
      expect(error).toMatchObject({
        code: 'ERR_BLOCK_LENGTH',
        message: expect.stringContaining(advice),
      });
      expect(error.message).toContain('"ram"');
    });
  });

  it('of a block that a function has no more room for', async () => {
    await leavingNothing(async () => {
      const blocks = ({ usedLength }: IncomingBlock): BlockTarget => {
        if (usedLength === 100 * PAGE) throw new Error('the heap is full');
        return memory(true);
      };
      expect((await refusal({ inline, blocks }, grown)).message).toContain('the heap is full');
    });
  });

  it('in an image, whose places are given, and says what to do', async () => {
    await leavingNothing(async () => {
      let heard: Promise<Buffer> | undefined;
      const error = await refusal({ inline }, (source) => {
        source.toAll(syncPacket(), syncPacket());
        source.main.put(
          header(),
          openReturnPath(),
          BEGUN.subarray(header().length),
          memSize(list(100)),
          flush(),
        );
        heard = source.main.rest().finally(() => source.main.end());
      });
      expect(error).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        message: expect.stringContaining('migrate again'),
      });
      expect(Uint8Array.from(await heard!)).toEqual(shut(1));
    });
  });

  it('when a source goes between the new lengths and the flush', async () => {
    await leavingNothing(async () => {
      const error = await refusal({ inline, blocks: targets() }, (source) => {
        source.toAll(syncPacket());
        source.main.put(BEGUN, memSize(list(100)));
        source.main.end();
      });
      expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED', channel: 'main' });
    });
  });

  it('with a page that is not within its block yet', async () => {
    await leavingNothing(async () => {
      const error = await refusal({ inline, blocks: targets() }, (source) => {
        source.toAll(syncPacket());
        source.main.put(BEGUN);
        source.channels[1]!.put(ramPacket({ block: 'ram', normal: [16 * PAGE] }, pageOf(1)));
      });
      expect(error).toMatchObject({ code: 'ERR_PAGE_OFFSET', channel: 1, packet: 1 });
    });
  });

  it('with a page that is not within its block even now', async () => {
    await leavingNothing(async () => {
      const blocks = targets();
      const error = await refusal({ inline, blocks }, (source) => {
        grown(source, 20);
        source.channels[1]!.put(
          ramPacket({ block: 'ram', normal: [19 * PAGE], zero: [20 * PAGE] }, pageOf(1)),
        );
      });
      expect(error).toMatchObject({ code: 'ERR_PAGE_OFFSET', channel: 1, packet: 2 });
      expect(new Uint8Array(blocks['ram']!.buffer).every((byte) => byte === 0)).toBe(true);
    });
  });
});

describe('growth is refused', () => {
  it.each<[string, Uint8Array, string, Incoming?]>([
    ['of a block that shrinks', memSize(list(15, 4)), 'ERR_BLOCK_LENGTH'],
    ['of another block', memSize([{ id: 'rim', length: 20 * PAGE }, BLOCKS[1]!]), 'ERR_BLOCK'],
    ['of blocks in another order', memSize([...BLOCKS].reverse()), 'ERR_BLOCK'],
    ['of a block more', memSize([...BLOCKS, { id: 'rim', length: PAGE }]), 'ERR_BLOCK'],
    ['of a block less', memSize([BLOCKS[0]!]), 'ERR_BLOCK'],
    ['by half a page', memSize(list(16.5, 2.5)), 'ERR_BLOCK_LENGTH'],
    ['beyond what is allowed', memSize(list(21)), 'ERR_BLOCK_LENGTH', { maxBytes: 22 * PAGE }],
    [
      'with a page before the flush',
      concat(memSize(list(20)), zeroPage(16 * PAGE, 'ram')),
      'ERR_STREAM',
    ],
    [
      'with more growth before the flush',
      concat(memSize(list(20)), memSize(list(21)), flush()),
      'ERR_STREAM',
    ],
    ['without a flush', concat(memSize(list(20)), endOfSection()), 'ERR_STREAM'],
    [
      'in the last section',
      concat(endOfSection(), end(), memSize(list(20)), flush()),
      'ERR_STREAM',
    ],
  ])('%s', async (_, content, code, options = {}) => {
    await leavingNothing(async () => {
      const blocks = targets();
      const error = await refusal({ blocks, ...options }, (source) => {
        source.toAll(syncPacket());
        source.main.put(BEGUN, content);
      });
      expect(error).toMatchObject({ code, channel: 'main' });
      expect(error.offset).toBeGreaterThanOrEqual(BEGUN.length);
    });
  });

  it('where syncs come with the sections', async () => {
    await leavingNothing(async () => {
      const error = await refusal({ blocks: targets() }, (source) => {
        source.toAll(syncPacket());
        source.main.put(header(), start(BLOCKS), endOfSection(), part(), memSize(list(20)));
      });
      expect(error).toMatchObject({ code: 'ERR_STREAM', channel: 'main' });
    });
  });

  it("into a place that the channels' threads don't know; channels in this thread follow", async () => {
    for (const inline of [true, false]) {
      const places: SharedArrayBuffer[] = [];
      const blocks = ({ id, usedLength }: IncomingBlock): BlockTarget => {
        const place = new SharedArrayBuffer(usedLength);
        if (id === 'ram') places.push(place);
        return place;
      };
      await leavingNothing(async () => {
        const { error } = await receiving({ inline, blocks }, async (uri) => {
          const source = await Source.connect(uri, 2);
          source.main.put(BEGUN, memSize(list(20)), flush(), flush(), FINISH);
          source.toAll(syncPacket(), syncPacket());
          source.channels[0]!.put(ramPacket({ block: 'ram', normal: [19 * PAGE] }, pageOf(7)));
          source.toAll(syncPacket(), syncPacket());
          return source;
        });
        if (inline) expect(new Uint8Array(places[1]!, 19 * PAGE)).toEqual(pageOf(7));
        else
          expect(error).toMatchObject({
            code: 'ERR_UNSUPPORTED',
            message: expect.stringContaining('WebAssembly.Memory'),
          });
      });
    }
  });

  it('when it takes a memory from under a page that comes where none may', async () => {
    await leavingNothing(async () => {
      const ram = memory(false, 1);
      let halfRead = (): void => {};
      let moved = (): void => {};
      const [reading, moving] = [
        new Promise<void>((resolve) => (halfRead = resolve)),
        new Promise<void>((resolve) => (moved = resolve)),
      ];
      const blocks = async ({ id, usedLength }: IncomingBlock): Promise<BlockTarget> => {
        if (usedLength > WASM_PAGE) {
          await reading;
          ensure(ram, usedLength);
          moved();
        }
        return id === 'ram' ? ram : memory(true);
      };
      const packet = ramPacket({ block: 'ram', normal: [0] }, pageOf(1));
      const before = 64 + 1344 + packet.length - PAGE / 2;
      const error = await refusal(
        { blocks, onProgress: ({ channels }) => channels[0]?.bytes === before && halfRead() },
        async (source) => {
          source.toAll(syncPacket());
          source.main.put(BEGUN, memSize(list(20)), flush());
          source.channels[0]!.put(packet.subarray(0, -PAGE / 2));
          await moving;
          source.channels[0]!.put(packet.subarray(-PAGE / 2));
        },
      );
      expect(error).toMatchObject({ code: 'ERR_STREAM', channel: 0, packet: 1 });
    });
  });
});
