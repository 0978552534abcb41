import type { DeviceState } from 'multifd';
import { beforeAll, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, randomBytes, SEED } from '../../support/random.ts';
import { boot, compile, COUNTERS, globalsOf, piecesOf, take } from './reactor-support.ts';

let program: WebAssembly.Module;
beforeAll(async () => {
  program = await compile(COUNTERS);
});

describe('nothing from the wire is taken on trust', () => {
  const ID = 'multifd/reactor';

  function piece(
    json: string | Uint8Array,
    { version = 1, pieces = 1, host = 0 } = {},
  ): Uint8Array {
    const text = typeof json === 'string' ? new TextEncoder().encode(json) : json;
    const bytes = new Uint8Array(16 + text.length);
    const view = new DataView(bytes.buffer);
    for (const [n, value] of [version, pieces, text.length, host].entries())
      view.setUint32(4 * n, value);
    bytes.set(text, 16);
    return bytes;
  }

  async function refusalOf(pieces: readonly DeviceState[]): Promise<string> {
    const there = await boot(program);
    const error = await errorOf(take(there, pieces));
    expect(error.code).toBe('ERR_GUEST');
    expect(globalsOf(there.exports)).toEqual([0, 0n, 0, 0]);
    return error.message;
  }

  test.each<[string, DeviceState[], string]>([
    ['no piece', [], 'first piece is missing'],
    [
      "somebody else's",
      [{ idstr: 'multifd/other', instanceId: 0, data: piece('{}') }],
      'multifd/other',
    ],
    [
      'not the first piece',
      [{ idstr: ID, instanceId: 1, data: piece('{}') }],
      'first piece is missing',
    ],
    ...(
      [
        ['too short', new Uint8Array(15), 'first piece is missing'],
        ['a version to come', piece('{}', { version: 2 }), 'version 2'],
        ['more pieces', piece('{}', { pieces: 2 }), '1 of 2 pieces'],
        ['no pieces', piece('{}', { pieces: 0 }), '1 of 0 pieces'],
        ['very many pieces', piece('{}', { pieces: 0xffffffff }), '1 of 4294967295 pieces'],
        ['more of the host', piece('{}', { host: 1 }), 'lengths'],
        ['lengths that overflow', piece('{}', { host: 0xffffffff }), 'lengths'],
        ['half of a JSON', piece('{'), 'no JSON'],
        ['no UTF-8', piece(Uint8Array.of(0x22, 0xff, 0x22)), 'no JSON'],
        ['null', piece('null'), 'not describe'],
        ['an array', piece('[]'), 'not describe'],
        ['numbers', piece('{"description":[1],"globals":[]}'), 'not describe'],
        ['no globals', piece('{"description":[]}'), 'no globals'],
        [
          'globals of another kind',
          piece('{"description":[],"globals":{"length":0}}'),
          'no globals',
        ],
        ['a number for a global', piece('{"description":[],"globals":[5]}'), 'global 0'],
        ['a global without bits', piece('{"description":[],"globals":[["i","i32"]]}'), 'global 0'],
        [
          'a global with few bits',
          piece('{"description":[],"globals":[["i","i32","12"]]}'),
          'global 0',
        ],
        [
          'a global with more',
          piece('{"description":[],"globals":[["i","i32","0000000000000000",1]]}'),
          'global 0',
        ],
        [
          'an inherited type',
          piece('{"description":[],"globals":[["i","toString","0000000000000000"]]}'),
          'global 0',
        ],
        [
          'a null with bits',
          piece('{"description":[],"globals":[["i","null","0000000000000000"]]}'),
          'global 0',
        ],
        [
          'a global twice',
          piece('{"description":[],"globals":[["__proto__","null"],["__proto__","null"]]}'),
          'twice',
        ],
        [
          'another program',
          piece('{"description":["function __proto__"],"globals":[["__proto__","null"]]}'),
          'another program',
        ],
      ] as const
    ).map(([name, data, message]): [string, DeviceState[], string] => [
      name,
      [{ idstr: ID, instanceId: 0, data }],
      message,
    ]),
  ])('%s', async (_, pieces, message) => {
    expect(await refusalOf(pieces)).toContain(message);
  });

  test("values that the program's globals can't hold: then none is set", async () => {
    const [whole] = await piecesOf(await boot(program));
    const view = new DataView(whole!.data.buffer, whole!.data.byteOffset);
    const state = JSON.parse(
      Buffer.from(whole!.data.subarray(16, 16 + view.getUint32(8))).toString(),
    ) as { description: string[]; globals: [string, string, string?][] };
    const changed = (change: (globals: [string, string, string?][]) => unknown): DeviceState[] => {
      const globals = structuredClone(state.globals);
      change(globals);
      return [{ ...whole!, data: piece(JSON.stringify({ ...state, globals })) }];
    };
    const bits = (value: number): string =>
      Buffer.from(new Float64Array([value]).buffer)
        .reverse()
        .toString('hex');
    const set =
      (name: string, value: number, type?: string) =>
      (globals: [string, string, string?][]): void => {
        const one = globals.find((entry) => entry[0] === name)!;
        one[2] = bits(value);
        if (type !== undefined) one[1] = type;
      };
    const all = (globals: [string, string, string?][]): void => {
      for (const [name, value] of [
        ['i', 5],
        ['f', 0.5],
        ['d', 0.1],
      ] as const)
        set(name, value)(globals);
    };
    const there = await boot(program);
    await take(there, changed(all));
    expect(globalsOf(there.exports)).toEqual([5, 0n, 0.5, 0.1]);
    for (const [change, message] of [
      [set('i', 0.5), '"i" is none that it can hold'],
      [set('i', Number.NaN), '"i" is none that it can hold'],
      [set('i', 2 ** 31), '"i" is none that it can hold'],
      [set('f', 0.1), '"f" is none that it can hold'],
      [set('i', 0, 'float'), '"i" is float at the source and i32 here'],
      [set('d', 0, 'i64'), '"d" is i64 at the source and f64 here'],
      [(globals: unknown[]) => globals.pop(), 'no value for the global'],
      [(globals: unknown[]) => globals.push(['toString', 'null']), 'a global "toString"'],
    ] as const) {
      const pieces = changed((globals) => {
        all(globals);
        change(globals);
      });
      expect(await refusalOf(pieces)).toContain(message);
    }
  });

  test(`bytes that were changed on their way, SEED ${SEED}`, async () => {
    const random = new Random(SEED);
    const here = await boot(program);
    here.exports.i.value = 1;
    const pieces = await piecesOf(here, { saveHost: () => randomBytes('host', 600_000) });
    const there = await boot(program);
    // Most of the damage goes where there is something to be checked: a piece's beginning.
    const outcomes = new Set<string>();
    for (let n = 0; n < 400; n++) {
      const damaged = pieces.map((one) => ({ ...one, data: Uint8Array.from(one.data) }));
      const one = damaged[random.below(damaged.length)]!;
      const at =
        random.below(4) === 0 ? random.below(16) : random.below(Math.min(one.data.length, 1500));
      if (random.below(8) === 0) one.data = one.data.subarray(0, at);
      else one.data[at] = one.data[at]! ^ (1 << random.below(8));
      if (random.below(8) === 0) one.instanceId = random.below(4);
      const before = globalsOf(there.exports);
      const outcome = await take(there, damaged).then(
        ({ started }) => (started ? 'started' : ''),
        (error) => error as { code: string; message: string },
      );
      if (outcome === 'started') {
        outcomes.add(outcome);
        for (const name of ['i', 'l', 'f', 'd'])
          there.exports[name as 'i'].value = name === 'l' ? 0n : 0;
        continue;
      }
      expect(outcome).toMatchObject({ code: 'ERR_GUEST' });
      outcomes.add('ERR_GUEST');
      expect(globalsOf(there.exports)).toEqual(before);
    }
    expect([...outcomes].sort()).toEqual(['ERR_GUEST', 'started']);
  });
});
