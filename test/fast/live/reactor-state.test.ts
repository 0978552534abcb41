import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Reactor, reactorGuest, reactorTarget, receive } from 'multifd';
import { beforeAll, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { randomBytes } from '../../support/random.ts';
import { boot, compile, COUNTERS, globalsOf, IGNORE, piecesOf, take } from './reactor-support.ts';

let program: WebAssembly.Module;
beforeAll(async () => {
  program = await compile(COUNTERS);
});

describe('what a reactor has beside its memory', () => {
  test.each([
    [-(2 ** 31), -(2n ** 63n), -0, Number.NaN],
    [2 ** 31 - 1, 2n ** 63n - 1n, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    [-1, -1n, 2 ** -149, Number.MIN_VALUE],
    [0, 0n, Number.NaN, -0],
  ])('comes as it was: %d, %d, %d, %d', async (i, l, f, d) => {
    const here = await boot(program);
    const there = await boot(program);
    Object.assign(here.exports.i, { value: i });
    Object.assign(here.exports.l, { value: l });
    Object.assign(here.exports.f, { value: f });
    Object.assign(here.exports.d, { value: d });
    expect(await take(there, await piecesOf(here))).toMatchObject({ started: true });
    expect(globalsOf(there.exports)).toEqual([i, l, f, d]);
    // A target that holds a NaN already takes any other float.
    const pieces = await piecesOf(await boot(program));
    await take(there, pieces);
    expect(globalsOf(there.exports)).toEqual([0, 0n, 0, 0]);
  });

  test("is looked at and left as it is, down to the bits of a NaN that JavaScript can't see", async () => {
    const here = await boot(program);
    here.exports.setBits(0x7fc12345, 0x7ff8_0000_dead_beefn);
    await piecesOf(here);
    expect([here.exports.bitsOfF(), here.exports.bitsOfD()]).toEqual([
      0x7fc12345,
      0x7ff8_0000_dead_beefn,
    ]);
  });

  test('may be larger than one packet, and is put together again in whichever order it comes', async () => {
    const here = await boot(program);
    const host = randomBytes('host', 1_700_000);
    const pieces = await piecesOf(here, { saveHost: () => host });
    expect(pieces.length).toBe(4);
    const arrival = await take(await boot(program), [
      pieces[2]!,
      pieces[0]!,
      pieces[3]!,
      pieces[1]!,
    ]);
    expect(Buffer.compare(arrival.host!, host)).toBe(0);
    // The host's own bytes share their memory with nothing.
    expect(arrival.host!.buffer.byteLength).toBe(host.length);
    for (const some of [
      pieces.slice(0, 3),
      pieces.slice(1),
      [...pieces, { ...pieces[3]!, instanceId: 4 }],
      [...pieces, pieces[0]!],
      [pieces[0]!, pieces[1]!, pieces[2]!, { ...pieces[3]!, instanceId: 4 }],
    ]) {
      await expect(take(await boot(program), some)).rejects.toMatchObject({ code: 'ERR_GUEST' });
    }
  });

  test('goes into a snapshot, from which another instance wakes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
    try {
      const path = join(folder, 'reactor.img');
      const here = await boot(program);
      const guest = reactorGuest(here, {
        ...IGNORE,
        saveHost: () => new Uint8Array(600_000).fill(here.exports.i.value as number),
      });
      // The second one writes over the first.
      for (const n of [3, 4]) {
        here.exports.i.value = n;
        new Uint8Array(here.exports.memory.buffer)[100_000] = n;
        await guest.snapshot({ path });
      }
      const there = await boot(program);
      let host: Uint8Array | undefined;
      await (
        await receive({
          uri: `file:${path}`,
          ...reactorTarget(there, { start() {}, loadHost: (bytes) => void (host = bytes) }),
        })
      ).completed;
      expect([
        there.exports.i.value,
        new Uint8Array(there.exports.memory.buffer)[100_000],
        host!.length,
        host![599_999],
      ]).toEqual([4, 4, 600_000, 4]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('may be in shared memory, which is imported, and in globals that are', async () => {
    const module = await compile(
      'declare let counter: i32; export function count(): i32 { return ++counter; } export ' +
        'function at(n: usize): u8 { return load<u8>(n); }',
      [
        '--importMemory',
        '--noExportMemory',
        '--sharedMemory',
        '--enable',
        'threads',
        '--initialMemory',
        '4',
        '--maximumMemory',
        '16',
      ],
    );
    const name = WebAssembly.Module.imports(module).find(({ kind }) => kind === 'global')!;
    const make = async (): Promise<{
      reactor: Reactor;
      exports: { count(): number; at(n: number): number };
    }> => {
      const memory = new WebAssembly.Memory({ initial: 4, maximum: 16, shared: true });
      const counter = new WebAssembly.Global({ value: 'i32', mutable: true }, 0);
      const instance = await WebAssembly.instantiate(module, {
        env: { memory },
        [name.module]: { memory, [name.name]: counter },
      });
      return {
        reactor: { instance, memory, imports: { counter } },
        exports: instance.exports as never,
      };
    };
    const here = await make();
    const there = await make();
    for (let n = 0; n < 5; n++) here.exports.count();
    here.reactor.memory!.grow(2);
    new Uint8Array(here.reactor.memory!.buffer)[5 * 65536] = 77;
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      channels: 2,
      ...reactorTarget(there.reactor, { start() {} }),
    });
    await reactorGuest(here.reactor, IGNORE).migrate({ uri: incoming.uri, channels: 2 });
    await incoming.completed;
    expect([there.exports.at(5 * 65536), there.exports.count()]).toEqual([77, 6]);
    // An instance without its global is another program.
    const { instance, memory } = (await make()).reactor;
    await expect(
      take({ instance, memory: memory! }, await piecesOf(here.reactor)),
    ).rejects.toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('a global "import counter"'),
    });
  });

  test('finds zeros behind its end in a target that has grown further', async () => {
    const here = await boot(program);
    const there = await boot(program);
    new Uint8Array(here.exports.memory.buffer).fill(5);
    there.exports.memory.grow(2);
    new Uint8Array(there.exports.memory.buffer).fill(6);
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      ...reactorTarget(there, { start() {} }),
    });
    await reactorGuest(here, IGNORE).migrate({ uri: incoming.uri, inline: true });
    await incoming.completed;
    const bytes = Buffer.from(there.exports.memory.buffer);
    const end = here.exports.memory.buffer.byteLength;
    expect(bytes.length).toBe(end + 2 * 65536);
    expect(bytes.equals(Buffer.concat([Buffer.alloc(end, 5), Buffer.alloc(2 * 65536)]))).toBe(true);
  });

  test('may be several memories, of which each has to have a name', async () => {
    const make = (fill: number): Record<'one' | 'two' | 'three', WebAssembly.Memory> => {
      const [one, two, three] = [1, 2, 3].map((initial) => {
        const memory = new WebAssembly.Memory({ initial, maximum: 8 });
        if (fill > 0) new Uint8Array(memory.buffer).fill(fill * initial);
        return memory;
      });
      return { one: one!, two: two!, three: three! };
    };
    const reactor = (memories: ReturnType<typeof make>): Reactor => {
      const { one, two, three } = memories;
      return {
        instance: { exports: { one, two } } as unknown as WebAssembly.Instance,
        memories: { two, three },
      };
    };
    const here = make(11);
    const there = make(0);
    const grown: unknown[] = [];
    const target = reactorTarget(reactor(there), {
      start() {},
      grow: (bytes, id) => void grown.push([id, bytes]),
    });
    here.three.grow(1);
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', inline: true, ...target });
    await reactorGuest(reactor(here), { ...IGNORE, tracking: 'hash' }).migrate({
      uri: incoming.uri,
      inline: true,
    });
    await incoming.completed;
    for (const name of ['one', 'two', 'three'] as const)
      expect(Buffer.from(there[name].buffer).equals(Buffer.from(here[name].buffer))).toBe(true);
    expect(grown).toEqual([['three', 4 * 65536]]);

    const pieces = await piecesOf(reactor(here));
    await expect(take(reactor(make(0)), pieces, ['memory', 'two'])).rejects.toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('no block "three"'),
    });

    const { instance } = reactor(here);
    const refused: [Partial<Reactor>, string][] = [
      [{}, '"one", "two"'],
      [{ memory: here.one }, '"two"'],
      [{ memory: here.one, memories: { again: here.one, two: here.two } }, 'given twice'],
      [{ memories: { memory: here.two } }, 'given twice'],
    ];
    for (const [named, message] of refused)
      expect(() => reactorGuest({ instance, ...named }, IGNORE)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining(message) }),
      );
    expect(() =>
      reactorGuest({ instance: { exports: {} } as WebAssembly.Instance }, IGNORE),
    ).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });
});

describe('another program is refused, with what is different', () => {
  test.each([
    [
      'one more function',
      (source: string) => `${source} export function more(): void {}`,
      'here is "function more"',
    ],
    [
      'a global of another type',
      (source: string) =>
        source
          .replace('let d: f64', 'let d: f32')
          .replace('reinterpret<f64>(double)', '<f32>double')
          .replace('reinterpret<u64>(d)', '<u64>d'),
      'the global "d" is f64 at the source and f32 here',
    ],
    [
      'another constant',
      (source: string) => source.replace('i32 = 7', 'i32 = 8'),
      'constant limit',
    ],
    [
      'other functions in its table',
      (source: string) => source.replace('n ? one.index : two.index', 'one.index'),
      'table table',
    ],
    [
      'a constant in place of a global',
      (source: string) => source.replace('let l: i64', 'const l: i64'),
      'constant l',
    ],
  ])('%s', async (_, change, message) => {
    const source = change(COUNTERS);
    expect(source).not.toBe(COUNTERS);
    const here = await boot(program);
    here.exports.i.value = 1;
    const there = await boot(await compile(source));
    const pieces = await piecesOf(here);
    await expect(take(there, pieces)).rejects.toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining(message),
    });
    expect(there.exports.i.value).toBe(0);
  });

  test('its table, that was changed before anyone looked', async () => {
    const here = await boot(program);
    const { table, setBits } = here.exports;
    table.set(1, setBits);
    await expect(take(await boot(program), await piecesOf(here))).rejects.toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('table table'),
    });
  });

  test('its memory is of another kind', async () => {
    const of = (shared: boolean): Reactor => ({
      instance: { exports: {} } as WebAssembly.Instance,
      memory: new WebAssembly.Memory({ initial: 1, maximum: 1, shared }),
    });
    await expect(take(of(true), await piecesOf(of(false)))).rejects.toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('memory of block memory'),
    });
    await expect(take(of(true), await piecesOf(of(true)))).resolves.toMatchObject({
      started: true,
    });
  });
});

describe("a reactor that can't be moved", () => {
  test('is refused for references that JavaScript put into its globals, whatever they look like', async () => {
    const { instance } = await boot(program);
    for (const [value, held] of [
      ['externref', 5],
      ['externref', 5n],
      ['externref', {}],
      ['externref', ''],
      ['anyfunc', instance.exports['call']],
    ] as const) {
      // 'externref' is not in the type yet
      const reference = new WebAssembly.Global(
        { value: value as 'externref', mutable: true },
        held,
      );
      expect(() => reactorGuest({ instance, imports: { reference } }, IGNORE)).toThrow(
        expect.objectContaining({
          code: 'ERR_GUEST',
          message: expect.stringContaining('"import reference" holds a reference'),
        }),
      );
      expect(reference.value).toBe(held);
      const constant = new WebAssembly.Global(
        { value: value as 'externref', mutable: false },
        held,
      );
      expect(() => reactorGuest({ instance, imports: { constant } }, IGNORE)).not.toThrow();
    }
    for (const nothing of [null, undefined]) {
      const make = async (): Promise<Reactor> => ({
        instance: (await boot(program)).instance,
        imports: { empty: new WebAssembly.Global({ value: 'externref', mutable: true }, nothing) },
      });
      await expect(take(await make(), await piecesOf(await make()))).resolves.toMatchObject({
        started: true,
      });
    }
  });

  test('goes on when it has come to hold a reference by the time it has stopped', async () => {
    const { instance } = await boot(program);
    const reference = new WebAssembly.Global({ value: 'externref', mutable: true }, null);
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: ({ usedLength }) => new Uint8Array(usedLength),
    });
    for (const when of ['stop', 'saveHost'] as const) {
      const calls: string[] = [];
      const guest = reactorGuest(
        { instance, imports: { reference } },
        {
          stop() {
            calls.push('stop');
            if (when === 'stop') reference.value = 5;
          },
          saveHost() {
            calls.push('saveHost');
            reference.value = 5;
            return new Uint8Array(1);
          },
          resume: () => void calls.push('resume'),
        },
      );
      const target =
        when === 'stop'
          ? incoming
          : await receive({
              uri: 'tcp:127.0.0.1:0',
              inline: true,
              blocks: ({ usedLength }) => new Uint8Array(usedLength),
            });
      expect(await errorOf(guest.migrate({ uri: target.uri, inline: true }))).toMatchObject({
        code: 'ERR_GUEST',
        message: expect.stringContaining('holds a reference'),
      });
      await errorOf(target.completed);
      expect(calls).toEqual(when === 'stop' ? ['stop', 'resume'] : ['stop', 'saveHost', 'resume']);
      expect(reference.value).toBe(5);
      reference.value = null;
    }
  });

  test('is refused for an entry of its table that is another now', async () => {
    const { instance, exports } = await boot(program);
    const guest = reactorGuest({ instance }, IGNORE);
    const before = exports.table.get(1) as () => void;
    const tried = async (): Promise<string> => {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        inline: true,
        blocks: ({ usedLength }) => new Uint8Array(usedLength),
      });
      const outcome = await guest.migrate({ uri: incoming.uri, inline: true }).then(
        () => 'moved',
        ({ code }) => code as string,
      );
      await incoming.completed.catch(() => {});
      return outcome;
    };
    exports.table.set(1, null);
    expect(await tried()).toBe('ERR_GUEST');
    exports.table.set(1, before);
    expect(await tried()).toBe('moved');
  });

  test("can't have an import with the name of an export", async () => {
    const { instance, exports } = await boot(program);
    const both = {
      exports: { ...exports, 'import i': exports.i },
    } as unknown as WebAssembly.Instance;
    expect(() => reactorGuest({ instance, imports: { i: exports.i } }, IGNORE)).not.toThrow();
    expect(() => reactorGuest({ instance: both, imports: { i: exports.i } }, IGNORE)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    );
  });
});
