import { describeDevices } from 'multifd';
import type { Random } from '../../../support/random.ts';
import { concat, endOfFile } from '../../../support/wire.ts';
import { tails } from '../bases.ts';
import { description, deviceFields, section } from '../grammar.ts';
import { extreme32, junkText, mutated } from '../mutate.ts';
import { ending } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

type Json = Record<string, unknown> | unknown[];

/** What is in a description in place of something else. */
function other(random: Random, value: unknown): unknown {
  return random.pick<() => unknown>([
    () => extreme32(random),
    () => -1,
    () => 1.5,
    () => null,
    () => '',
    () => junkText(random),
    () => [],
    () => ({}),
    () => [value, value],
    () => ({ fields: value }),
    () => Array.from({ length: random.pick([10, 1000]) }, () => value),
  ])();
}

/** Changes a node of the JSON, wherever. */
function changeJson(random: Random, json: Json): void {
  let node = json;
  for (;;) {
    const keys = Object.keys(node);
    if (keys.length === 0) return;
    const key = random.pick(keys);
    const place = node as Record<string, unknown>;
    const child = place[key];
    if (typeof child === 'object' && child !== null && random.chance(0.85)) {
      node = child as Json;
      continue;
    }
    if (random.chance(0.15)) delete place[key];
    else place[key] = other(random, child);
    return;
  }
}

/** The description of a tail, which is all behind a 06 and its length, and what comes before it. */
function split(tail: Uint8Array): { sections: Uint8Array; json: Json } {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.length);
  let at = bytes.length - 5;
  while (bytes[at] !== 6 || bytes.readUInt32BE(at + 1) !== bytes.length - at - 5) at--;
  const json = JSON.parse(bytes.toString('utf8', at + 5)) as Json;
  return { sections: bytes.subarray(0, at), json };
}

/** Much that is described of little: items are bounded, not only bytes. */
function bomb(random: Random): Uint8Array {
  const length = random.pick([1000, 30_000, 1_000_000]);
  const many = <T>(value: T): T[] => Array.from({ length }, () => value);
  const empty = { size: 0 };
  const fields = random.pick<() => unknown>([
    () => many(empty),
    () => many({}),
    () => [{ name: 'a', type: 'uint8', size: 1, array_len: 0xffffffff }],
    () => [{ name: 'a', type: 'uint8', size: 0, array_len: 1e9 }],
    () => {
      const struct = { vmsd_name: 's', fields: many(empty).slice(0, 1000) };
      return [{ name: 'a', type: 'struct', size: 0, array_len: 1e6, struct }];
    },
    () => nested(random.pick([10, 1000, 20_000])),
  ])();
  // Nesting as deep as that is too much for JSON.stringify.
  const text = typeof fields === 'string' ? fields : JSON.stringify(fields);
  const device = `{"name":"dev","instance_id":0,"version":1,"vmsd_name":"dev","fields":${text}}`;
  const json = `{"page_size":4096,"devices":[${device}]}`;
  const content = new Uint8Array(random.pick([0, 64]));
  return concat(section(7, 'dev', content), endOfFile(), description(json));
}

function nested(depth: number): string {
  const open = '[{"name":"s","type":"struct","size":64,"struct":{"vmsd_name":"s","fields":';
  return `${open.repeat(depth)}[]${'}}]'.repeat(depth)}`;
}

async function tailFor(random: Random, note: (what: string) => void): Promise<Uint8Array> {
  const way = random.below(5);
  if (way === 0) {
    note('a description of very much');
    return bomb(random);
  }
  if (way === 1) {
    note('fields by the rules, and then not');
    const { fields, bytes } = deviceFields(random, 0);
    const device = { name: 'dev', instance_id: 0, version: 1, vmsd_name: 'dev', fields };
    const json = { page_size: 4096, devices: [device] };
    for (let left = random.below(3); left > 0; left--) changeJson(random, json as unknown as Json);
    return concat(section(7, 'dev', bytes), endOfFile(), description(json));
  }
  const tail = random.pick(await tails());
  if (way === 2) {
    note("a QEMU's, bytes changed");
    return mutated(random, tail);
  }
  note("a QEMU's, the description changed");
  const { sections, json } = split(tail);
  for (let left = 1 + random.below(3); left > 0; left--) changeJson(random, json);
  return concat(sections, description(json));
}

async function run({ random, input, note }: Execution): Promise<void> {
  const tail = await tailFor(random, note);
  input(tail.length);
  await ending(async () => describeDevices(tail));
}

export const devicesPart: Part = {
  name: 'devices',
  what: "descriptions of devices: QEMU's and made up ones, changed, and such as describe very much",
  executions: { whole: 20_000, short: 50 },
  run,
};
