import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finishImageUpdate, Guest, inspectImage } from 'multifd';
import { watchOperations } from '../../../support/file-operations.ts';
import { Random } from '../../../support/random.ts';
import { someMemory } from '../bases.ts';
import { PAGE } from '../grammar.ts';
import { extreme32, mutatedSome } from '../mutate.ts';
import { demand, ending } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

/** A folder's files as an update leaves them that can't give the image its name. */
export type LeftOver = Map<string, Buffer>;

let made: Promise<LeftOver> | undefined;

/** Made once: a guest's second snapshot, whose last step fails. */
export function leftOver(): Promise<LeftOver> {
  return (made ??= make());
}

async function make(): Promise<LeftOver> {
  const folder = await mkdtemp(join(tmpdir(), 'multifd-faults-base-'));
  try {
    const random = new Random(2);
    const memory = someMemory(random, 20);
    const guest = new Guest({ blocks: [{ id: 'ram', memory }], stop() {}, resume() {} });
    const path = join(folder, 'image');
    await guest.snapshot({ path, inline: true });
    for (const page of [1, 5, 7]) memory.set(random.bytes(PAGE), page * PAGE);
    let linking = false;
    const restore = await watchOperations(({ name }) => {
      linking ||= name === 'link';
      if (linking) throw Object.assign(new Error('EIO: made by the harness'), { code: 'EIO' });
    });
    await guest
      .snapshot({ path, inline: true })
      .then(() => Promise.reject(new Error('the update was to fail')), restore);
    const files: LeftOver = new Map();
    for (const name of await readdir(folder)) files.set(name, await readFile(join(folder, name)));
    if (files.size !== 2) throw new Error(`left: ${[...files.keys()].join(', ')}`);
    return files;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Changes a sidecar; `made up` ones have a sum that fits. */
function spoil(random: Random, sidecar: Buffer): { bytes: Uint8Array; what: string } {
  const magic = sidecar.lastIndexOf('MFDREDO\0');
  const jsonAt = sidecar.lastIndexOf('{"', magic);
  const bitmapsLength = sidecar.readUInt32BE(magic + 8);
  switch (random.below(5)) {
    case 0:
      return { bytes: sidecar, what: 'nothing changed' };
    case 1: {
      const from = Math.max(0, jsonAt - 100);
      const end = mutatedSome(random, sidecar.subarray(from));
      return { bytes: Buffer.concat([sidecar.subarray(0, from), end]), what: 'its record' };
    }
    case 2:
      return { bytes: sidecar.subarray(0, random.below(sidecar.length)), what: 'cut off' };
    default: {
      // Somebody made it up: everything fits but for what it says.
      const bitmaps = Buffer.from(sidecar.subarray(jsonAt - bitmapsLength, jsonAt));
      if (random.chance(0.3) && bitmaps.length > 0) bitmaps[random.below(bitmaps.length)] = 0xff;
      const json = Buffer.from(spoilJson(random, sidecar.toString('utf8', jsonAt, magic)));
      const head = Buffer.alloc(16);
      sidecar.copy(head, 0, magic, magic + 8);
      head.writeUInt32BE(bitmaps.length, 8);
      head.writeUInt32BE(json.length, 12);
      const sum = createHash('sha256').update(bitmaps).update(json).digest();
      const before = sidecar.subarray(0, jsonAt - bitmapsLength);
      return { bytes: Buffer.concat([before, bitmaps, json, head, sum]), what: 'made up' };
    }
  }
}

function spoilJson(random: Random, text: string): string {
  const numbers = [...text.matchAll(/\d+/g)];
  const some = random.pick(numbers);
  const [digits] = some;
  const values = [0, -1, 1.5, 2 ** 53, 1e300, extreme32(random), Number(digits) + PAGE];
  const behind = text.slice(some.index + digits.length);
  const changed = text.slice(0, some.index) + String(random.pick(values)) + behind;
  return random.chance(0.1) ? changed.slice(0, random.below(changed.length)) : changed;
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const home = join(folder, 'home');
  await mkdir(home);
  const files = await leftOver();
  let what = '';
  for (const [name, bytes] of files) {
    const spoiled = name.endsWith('.update') ? spoil(random, bytes) : { bytes, what };
    what = spoiled.what;
    await writeFile(join(home, name), spoiled.bytes);
    input(bytes.length);
  }
  note(what);
  const path = join(home, 'image');
  const { value: stamp, error } = await ending(finishImageUpdate(path));
  const names = await readdir(home);
  const there = names.includes('image');
  demand(there === (stamp !== undefined), 'outcome', `${error?.message}: ${names.join(', ')}`);
  if (what !== 'nothing changed') {
    // What can't be finished is left as it was, for whoever can.
    if (!there) demand(names.length === 2, 'torn', `left: ${names.join(', ')}`);
    return;
  }
  demand(there, 'outcome', `not finished: ${error?.message}`);
  const { error: broken } = await ending(inspectImage(path));
  demand(broken === undefined, 'torn', `the image can not be read: ${broken?.message}`);
}

export const sidecarsPart: Part = {
  name: 'sidecars',
  what: 'what a cut-off update leaves, changed and made up, given to finishImageUpdate',
  executions: { whole: 4_000, short: 30 },
  run,
};
