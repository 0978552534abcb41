import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BlockSource,
  type BlockTarget,
  type Compression,
  type DeviceState,
  extractBlock,
  inspectImage,
  receive,
  send,
  type ZeroPageDetection,
} from 'multifd';
import { describe, expect, it } from 'vitest';
import { Random, SEED } from '../../support/random.ts';
import { errorOf, LAUNCHERS, leavingNothing, PAGE, withFolder } from '../../support/migration.ts';

const WASM_PAGE = 65536;
const LENGTH = 24 * WASM_PAGE;
/** Bytes behind the block in the target's memory, which nobody may touch. */
const CANARY = 2 * WASM_PAGE;

/** Pages of noise, of zeros, and of zeros but for one byte. */
function content(random: Random, length = LENGTH): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += PAGE) {
    const kind = random.below(3);
    const end = Math.min(at + PAGE, length);
    if (kind === 0) bytes.set(random.bytes(end - at), at);
    else if (kind === 1) bytes[at + random.below(end - at)] = 1;
  }
  return bytes;
}

function wasm(shared: boolean, bytes: number): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: bytes / WASM_PAGE, maximum: 64, shared });
}

const SOURCES: Record<string, (bytes: Uint8Array, folder: string) => BlockSource> = {
  'shared WebAssembly.Memory': (bytes) => filled(wasm(true, bytes.length), bytes),
  'WebAssembly.Memory': (bytes) => filled(wasm(false, bytes.length), bytes),
  SharedArrayBuffer: (bytes) => {
    const buffer = new SharedArrayBuffer(bytes.length);
    new Uint8Array(buffer).set(bytes);
    return buffer;
  },
  ArrayBuffer: (bytes) => bytes.slice().buffer as ArrayBuffer,
  'Uint8Array in the middle of a buffer': (bytes) => {
    const buffer = new Uint8Array(bytes.length + 3 * PAGE).fill(0xee);
    buffer.set(bytes, PAGE + 7);
    return buffer.subarray(PAGE + 7, PAGE + 7 + bytes.length);
  },
  'Uint8Array in the middle of a shared buffer': (bytes) => {
    const buffer = new Uint8Array(new SharedArrayBuffer(bytes.length + 3 * PAGE)).fill(0xee);
    buffer.set(bytes, PAGE + 8);
    return buffer.subarray(PAGE + 8, PAGE + 8 + bytes.length);
  },
  file: (bytes, folder) => {
    writeFileSync(join(folder, 'source'), bytes);
    return { path: join(folder, 'source') };
  },
  'page source': (bytes) => ({
    byteLength: bytes.length,
    async read(offset, into) {
      await Promise.resolve();
      into.set(bytes.subarray(offset, offset + into.length));
    },
  }),
};

function filled(memory: WebAssembly.Memory, bytes: Uint8Array): WebAssembly.Memory {
  new Uint8Array(memory.buffer).set(bytes);
  return memory;
}

/**
 * A target, and how to look at its first bytes. All start with noise where the block goes: what is
 * zero in the block has to be written.
 */
const TARGETS: Record<string, () => { target: BlockTarget; bytes: () => Uint8Array }> = {
  'shared WebAssembly.Memory': () => wasmTarget(true),
  'WebAssembly.Memory': () => wasmTarget(false),
  SharedArrayBuffer: () => {
    const buffer = new SharedArrayBuffer(LENGTH + CANARY);
    new Uint8Array(buffer).fill(0xcc);
    return { target: buffer, bytes: () => new Uint8Array(buffer) };
  },
  Uint8Array: () => {
    const bytes = new Uint8Array(LENGTH + CANARY).fill(0xcc);
    return { target: bytes, bytes: () => bytes };
  },
  'page sink': () => {
    const bytes = new Uint8Array(LENGTH + CANARY).fill(0xcc);
    const target = {
      async write(offset: number, pages: Uint8Array) {
        await Promise.resolve();
        bytes.set(pages, offset);
      },
      async zero(offset: number, length: number) {
        await Promise.resolve();
        bytes.fill(0, offset, offset + length);
      },
    };
    return { target, bytes: () => bytes };
  },
};

function wasmTarget(shared: boolean): { target: BlockTarget; bytes: () => Uint8Array } {
  const memory = wasm(shared, LENGTH + CANARY);
  new Uint8Array(memory.buffer).fill(0xcc);
  return { target: memory, bytes: () => new Uint8Array(memory.buffer) };
}

function expectBlock(bytes: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(bytes.subarray(0, expected.length), expected)).toBe(0);
  expect(
    bytes.subarray(LENGTH).every((byte) => byte === 0xcc),
    'what lies behind the block',
  ).toBe(true);
}

const DETECTIONS: readonly ZeroPageDetection[] = ['multifd', 'legacy', 'none'];
const COMPRESSIONS: readonly Compression[] = ['none', 'zlib'];

describe.each(LAUNCHERS)(`memories of every kind, $name (seed ${SEED})`, ({ inline }) => {
  const pairs = Object.keys(SOURCES).flatMap((from, index) => {
    const to = Object.keys(TARGETS)[index % Object.keys(TARGETS).length]!;
    return [
      { from, to, detection: DETECTIONS[index % 3]!, compression: COMPRESSIONS[index % 2]! },
      { from, to: 'shared WebAssembly.Memory', detection: 'multifd', compression: 'none' } as const,
    ];
  });

  it.each(pairs)(
    '$from to $to, $detection, $compression',
    async ({ from, to, detection, compression }) => {
      const expected = content(new Random(SEED));
      await withFolder((folder) =>
        leavingNothing(async () => {
          const { target, bytes } = TARGETS[to]!();
          const incoming = await receive({
            uri: `unix:${join(folder, 'socket')}`,
            blocks: { ram: target },
            channels: 3,
            compression,
            inline,
          });
          const source = SOURCES[from]!(expected, folder);
          const [sent, received] = await Promise.all([
            send({
              uri: incoming.uri,
              blocks: [{ id: 'ram', source }],
              channels: 3,
              compression,
              zeroPageDetection: detection,
              inline,
            }),
            incoming.completed,
          ]);
          expectBlock(bytes(), expected);
          for (const { ram } of [sent, received]) {
            expect(ram).toMatchObject({ total: LENGTH, remaining: 0, 'page-size': PAGE });
            expect(ram.normal + ram.duplicate).toBe(LENGTH / PAGE);
            expect(ram.transferred).toBe(ram['multifd-bytes'] + ram['precopy-bytes']);
          }
          expect(received.ram).toMatchObject({
            normal: sent.ram.normal,
            duplicate: sent.ram.duplicate,
            'multifd-bytes': sent.ram['multifd-bytes'],
          });
          if (detection === 'none') expect(sent.ram.duplicate).toBe(0);
        }),
      );
    },
  );
});

describe.each(LAUNCHERS)(
  `memories of every kind, by way of an image, $name (seed ${SEED})`,
  ({ inline }) => {
    const pairs = Object.keys(SOURCES).flatMap((from, index) =>
      [0, 1].map((step) => ({
        from,
        to: Object.keys(TARGETS)[(2 * index + step) % Object.keys(TARGETS).length]!,
        pageSize: step === 0 ? PAGE : WASM_PAGE,
      })),
    );

    it.each(pairs)('$from to $to, pages of $pageSize bytes', async ({ from, to, pageSize }) => {
      const expected = content(new Random(SEED + 4));
      // Whole pages of zeros, and of the rest, whatever the page size.
      expected.fill(0, 2 * WASM_PAGE, 5 * WASM_PAGE);
      await withFolder((folder) =>
        leavingNothing(async () => {
          const [first, second] = [join(folder, 'first'), join(folder, 'second')];
          await send({
            uri: `file:${first}`,
            blocks: [{ id: 'ram', source: SOURCES[from]!(expected, folder) }],
            channels: 3,
            inline,
            pageSize,
          });
          await (
            await receive({ uri: `file:${first}`, image: second, channels: 3, inline, pageSize })
          ).completed;
          expect(Buffer.compare(readFileSync(second), readFileSync(first))).toBe(0);
          await fillAbsent(second, expected, pageSize);
          const { target, bytes } = TARGETS[to]!();
          const { ram } = await (
            await receive({
              uri: `file:${second}`,
              blocks: { ram: target },
              channels: 3,
              inline,
              pageSize,
            })
          ).completed;
          expectBlock(bytes(), expected);
          expect(ram.normal + ram.duplicate).toBe(LENGTH / pageSize);
          expect(ram.duplicate).toBe(zeroPages(expected, pageSize).length);
        }),
      );
    });

    it('every page of an image that has zero pages among them', async () => {
      const expected = content(new Random(SEED + 5));
      await withFolder((folder) =>
        leavingNothing(async () => {
          const uri = `file:${join(folder, 'image')}`;
          await send({
            uri,
            blocks: [{ id: 'ram', source: expected }],
            zeroPageDetection: 'none',
            inline,
          });
          const { target, bytes } = TARGETS['shared WebAssembly.Memory']!();
          const { ram } = await (await receive({ uri, blocks: { ram: target }, inline })).completed;
          expectBlock(bytes(), expected);
          expect(ram).toMatchObject({ normal: LENGTH / PAGE, duplicate: 0 });
        }),
      );
    });
  },
);

/** Offsets of the pages that are zero. */
function zeroPages(bytes: Uint8Array, pageSize: number): number[] {
  const offsets: number[] = [];
  for (let at = 0; at < bytes.length; at += pageSize)
    if (bytes.subarray(at, at + pageSize).every((byte) => byte === 0)) offsets.push(at);
  return offsets;
}

/** Writes noise to where an image's zero pages would be: what is there means nothing. */
async function fillAbsent(image: string, content: Uint8Array, pageSize: number): Promise<void> {
  const { pagesOffset } = (await inspectImage(image)).blocks[0]!;
  const file = openSync(image, 'r+');
  for (const offset of zeroPages(content, pageSize))
    writeSync(file, new Uint8Array(pageSize).fill(0xee), 0, pageSize, pagesOffset + offset);
  closeSync(file);
}

describe.each(LAUNCHERS)(`whole migrations, $name (seed ${SEED})`, ({ inline }) => {
  it.each([PAGE, WASM_PAGE])(
    'several blocks of lengths that are no page multiple, pages of %i bytes',
    async (pageSize) => {
      const random = new Random(SEED + pageSize);
      const memories = Array.from({ length: 5 }, () =>
        content(random, 1 + random.below(9 * WASM_PAGE)),
      );
      await leavingNothing(async () => {
        const targets: Record<string, Uint8Array> = {};
        const lengths = new Map<number, bigint>();
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          inline,
          pageSize,
          blocks: ({ id, usedLength }) =>
            (targets[id] = new Uint8Array(new SharedArrayBuffer(usedLength)).fill(0xcc)),
          onDeviceState: ({ idstr, instanceId, data }) => {
            if (idstr === 'multifd/file-length')
              lengths.set(instanceId, new DataView(data.buffer, data.byteOffset).getBigUint64(0));
          },
        });
        await send({
          uri: incoming.uri,
          inline,
          pageSize,
          blocks: memories.map((source, n) => ({ id: `block/${n}`, source })),
        });
        await incoming.completed;
        for (const [n, memory] of memories.entries()) {
          const target = targets[`block/${n}`]!;
          expect(target.length).toBe(Math.ceil(memory.length / pageSize) * pageSize);
          expect(Buffer.compare(target.subarray(0, memory.length), memory)).toBe(0);
          expect(target.subarray(memory.length).every((byte) => byte === 0)).toBe(true);
          expect(lengths.get(n) ?? BigInt(target.length)).toBe(BigInt(memory.length));
        }
      });
    },
  );

  it('device state arrives whole, once all pages are in place', async () => {
    const random = new Random(SEED + 1);
    const states: DeviceState[] = Array.from({ length: 40 }, (_, n) => ({
      idstr: `device ${n % 3}`,
      instanceId: n,
      data: random.bytes(1 + random.below(100_000)),
    }));
    const memory = new Uint8Array(new SharedArrayBuffer(LENGTH));
    const arrived: DeviceState[] = [];
    await leavingNothing(async () => {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: 4,
        inline,
        blocks: { ram: memory },
        onDeviceState: (state) => {
          expect(memory[LENGTH - 1]).toBe(5);
          arrived.push(state);
        },
      });
      const source = new Uint8Array(LENGTH).fill(5);
      await send({
        uri: incoming.uri,
        channels: 4,
        inline,
        blocks: [{ id: 'ram', source }],
        deviceState: states,
      });
      await incoming.completed;
    });
    const summary = ({ data, ...rest }: DeviceState): object => ({
      ...rest,
      data: Buffer.from(data).toString('base64'),
    });
    expect(arrived.sort((a, b) => a.instanceId - b.instanceId).map(summary)).toEqual(
      states.map(summary),
    );
  });

  it('device state goes into an image and out of it again', async () => {
    const state = { idstr: 'globals', instanceId: 7, data: Uint8Array.of(1, 2, 3) };
    const expected = content(new Random(SEED + 2));
    await withFolder((folder) =>
      leavingNothing(async () => {
        const image = join(folder, 'image');
        const incoming = await receive({ uri: `unix:${join(folder, 'socket')}`, image, inline });
        await send({
          uri: incoming.uri,
          inline,
          blocks: [{ id: 'ram', source: expected }],
          deviceState: [state],
        });
        await incoming.completed;
        expect((await inspectImage(image)).sections).toMatchObject([
          { idstr: 'globals', instanceId: 7 },
        ]);

        const memory = new Uint8Array(LENGTH).fill(0xcc);
        const states: DeviceState[] = [];
        const loading = await receive({
          uri: `file:${image}`,
          inline,
          blocks: { ram: memory },
          onDeviceState: (loaded) => void states.push(loaded),
        });
        await loading.completed;
        expect(Buffer.compare(memory, expected)).toBe(0);
        expect(states.map(({ data, ...rest }) => ({ ...rest, data: [...data] }))).toEqual([
          { idstr: 'globals', instanceId: 7, data: [1, 2, 3] },
        ]);
      }),
    );
  });

  it('a snapshot into a file at an offset, and back into memory', async () => {
    const expected = content(new Random(SEED + 3));
    await withFolder((folder) =>
      leavingNothing(async () => {
        const uri = `file:${join(folder, 'snapshot')},offset=12288`;
        const saved = await send({ uri, inline, blocks: [{ id: 'ram', source: expected }] });
        expect(saved.ram.normal + saved.ram.duplicate).toBe(LENGTH / PAGE);
        const memory = filled(wasm(true, LENGTH), new Uint8Array(LENGTH).fill(0xcc));
        await (await receive({ uri, inline, blocks: { ram: memory } })).completed;
        expect(Buffer.compare(new Uint8Array(memory.buffer), expected)).toBe(0);
        await extractBlock(join(folder, 'snapshot'), 'ram', join(folder, 'ram'), { offset: 12288 });
        expect(Buffer.compare(readFileSync(join(folder, 'ram')), expected)).toBe(0);
      }),
    );
  });

  it('the signal cancels either end, at its first page and before anything', async () => {
    await leavingNothing(async () => {
      for (const end of ['source', 'target'] as const) {
        const cancel = new AbortController();
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          inline,
          blocks: { ram: new Uint8Array(new SharedArrayBuffer(LENGTH)) },
          ...(end === 'target' && { signal: cancel.signal }),
        });
        const source = {
          byteLength: LENGTH,
          read(_: number, into: Uint8Array) {
            into.fill(1);
            cancel.abort();
          },
        };
        // Slow enough that the last page is far away when the signal comes.
        const sending = send({
          uri: incoming.uri,
          inline,
          blocks: [{ id: 'ram', source }],
          maxBandwidth: 100_000,
          ...(end === 'source' && { signal: cancel.signal }),
        });
        const [atSource, atTarget] = await Promise.all([
          errorOf(sending),
          errorOf(incoming.completed),
        ]);
        const [own, others] = end === 'source' ? [atSource, atTarget] : [atTarget, atSource];
        expect(own.code).toBe('ERR_CANCELLED');
        expect(others.code).toBe(end === 'source' ? 'ERR_PEER_CLOSED' : 'ERR_REMOTE');
      }
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        inline,
        blocks: {},
        signal: AbortSignal.abort(),
      });
      expect((await errorOf(incoming.completed)).code).toBe('ERR_CANCELLED');
      expect(
        (
          await errorOf(
            send({
              uri: incoming.uri,
              inline,
              blocks: [{ id: 'ram', source: new Uint8Array(1) }],
              signal: AbortSignal.abort(),
            }),
          )
        ).code,
      ).toMatch(/^ERR_(CANCELLED|CONNECT)$/);
    });
  });
});
