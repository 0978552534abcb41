import { mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  extractBlock,
  extractCore,
  type ImageReport,
  inspectDevices,
  inspectImage,
  receive,
  send,
} from 'multifd';
import type { Random } from '../../../support/random.ts';
import { type Base, memoryImage, pcImage } from '../bases.ts';
import { mutated, setField } from '../mutate.ts';
import { demand, ending, holdsOnly, sameBytes } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

const MIB = 2 ** 20;
/** Where a stream begins, up to the first block's pages. */
const HEAD = 4096;

/** A file with the image and something wrong in it; what that is. */
async function spoil(random: Random, path: string, { bytes }: Base): Promise<string> {
  const copy = Buffer.from(bytes);
  const length = copy.length;
  await writeFile(path, copy);
  const patch = async (at: number, piece: Uint8Array): Promise<void> => {
    const handle = await open(path, 'r+');
    await handle.write(piece, 0, piece.length, at).finally(() => handle.close());
  };
  // Behind the last multiple of 1 MiB the last block's pages end, and the tail begins.
  const last = length - (length % MIB || MIB);
  switch (random.below(9)) {
    case 0: {
      const at = random.below(random.chance(0.5) ? 400 : HEAD);
      setField(random, copy, at, random.pick([1, 2, 4, 8]));
      await patch(0, copy.subarray(0, HEAD));
      return `a field at ${at} of the head`;
    }
    case 1: {
      const at = random.below(300);
      const head = mutated(random, copy.subarray(at, HEAD));
      await patch(at, head.subarray(0, HEAD));
      return `the head from ${at} on`;
    }
    case 2: {
      const end = random.below(length + 1);
      await truncate(path, end);
      return `cut off at ${end}`;
    }
    case 3: {
      const end = random.pick([length + 1, length + 4096, length + 250 * MIB, 2 ** 36]);
      // Within what follows the RAM, the rest of that is a hole.
      const from = random.chance(0.5) ? length : last + random.below(length - last);
      await truncate(path, from);
      await truncate(path, end);
      return `a hole from ${from} to ${end}`;
    }
    case 4:
    case 5: {
      const from = Math.max(last, length - random.pick([100, 5000, 200_000]));
      const tail = mutated(random, copy.subarray(from));
      await patch(from, tail);
      await truncate(path, from + tail.length);
      return `the end from ${from} on`;
    }
    case 6: {
      const at = random.below(length);
      await patch(at, random.bytes(1 + random.below(200)));
      return `bytes at ${at}`;
    }
    case 7: {
      // Bitmaps are right behind the block's header, and full of bits then.
      const at = 100 + random.below(1000);
      await patch(at, new Uint8Array(8 * (1 + random.below(20))).fill(0xff));
      return `bits from ${at} on`;
    }
    default:
      return 'nothing changed';
  }
}

/** Extracts a block; the file is there, whole, or not at all. */
async function extract(
  path: string,
  report: ImageReport,
  random: Random,
  out: string,
): Promise<Uint8Array | undefined> {
  const block = random.pick(report.blocks);
  // What is as long as the disk takes too long to look at afterwards.
  if (block.usedLength > 256 * MIB) return undefined;
  const { error } = await ending(extractBlock(path, block.id, join(out, 'file')));
  await holdsOnly(out, ...(error === undefined ? ['file'] : []));
  if (error !== undefined) return undefined;
  const { size } = await stat(join(out, 'file'));
  demand(size <= block.usedLength, 'torn', `${size} bytes of ${block.usedLength} were extracted`);
  return readFile(join(out, 'file'));
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const base = await (random.chance(0.5) ? memoryImage() : pcImage());
  const path = join(folder, 'image');
  const out = join(folder, 'out');
  await mkdir(out);
  const what = await spoil(random, path, base);
  const sound = what === 'nothing changed';
  note(`${base.blocks.size > 0 ? 'memory' : 'a PC'}: ${what}`);
  input(2 * base.bytes.length);

  const { value: report, error } = await ending(inspectImage(path));
  demand(!sound || error === undefined, 'outcome', `refused: ${error?.message}`);
  const act = random.below(6);
  note(['devices', 'extract', 'core', 'load', 'copy', 'send'][act]!);
  if (act === 0) await ending(inspectDevices(path));
  if (act === 1 && report !== undefined) {
    const content = await extract(path, report, random, out);
    if (sound && content !== undefined) {
      const expected = [...base.blocks.values()].find((block) => block.length === content.length);
      if (expected !== undefined) sameBytes(content, expected, 'the block');
    }
  }
  if (act === 2) {
    const { error: refused } = await ending(extractCore(path, join(out, 'core')));
    await holdsOnly(out, ...(refused === undefined ? ['core'] : []));
  }
  if (act === 3) await load(path, base, sound);
  if (act === 4) {
    const { error: refused } = await ending(async () => {
      const incoming = await receive({
        uri: `file:${path}`,
        image: join(out, 'copy'),
        maxBytes: 64 * MIB,
        inline: true,
      });
      return incoming.completed;
    });
    demand(!sound || refused === undefined, 'outcome', `not copied: ${refused?.message}`);
    await holdsOnly(out, ...(refused === undefined ? ['copy'] : []));
  }
  // Terabytes of holes would take their time.
  const blocks = report?.blocks ?? [];
  const total = blocks.reduce((sum, { usedLength }) => sum + usedLength, 0);
  if (act === 5 && total <= 256 * MIB) await sendOn(path, folder, sound);
}

async function load(path: string, base: Base, sound: boolean): Promise<void> {
  const memories = new Map<string, Uint8Array>();
  const { error } = await ending(async () => {
    const incoming = await receive({
      uri: `file:${path}`,
      maxBytes: 64 * MIB,
      inline: true,
      blocks({ id, usedLength }) {
        const memory = new Uint8Array(usedLength);
        memories.set(id, memory);
        return memory;
      },
    });
    return incoming.completed;
  });
  if (!sound) return;
  demand(error === undefined, 'outcome', `not loaded: ${error?.message}`);
  for (const [id, content] of base.blocks) sameBytes(memories.get(id)!, content, id);
}

/** To a receiver, which hears of a failure as well. */
async function sendOn(path: string, folder: string, sound: boolean): Promise<void> {
  const out = join(folder, 'received');
  await mkdir(out);
  const uri = `unix:${folder}/s`;
  const stop = new AbortController();
  const incoming = await receive({
    uri,
    image: join(out, 'image'),
    inline: true,
    timeout: 300,
    signal: stop.signal,
  });
  const completed = ending(incoming.completed);
  completed.catch(() => {});
  const { error } = await ending(send({ uri, image: path, inline: true, timeout: 300 }));
  // A source that has never begun leaves a target that waits for one.
  if (error !== undefined) stop.abort();
  const received = await completed;
  await holdsOnly(out, ...(received.error === undefined ? ['image'] : []));
  const both = (error === undefined) === (received.error === undefined);
  demand(both, 'outcome', `source: ${error?.message}; target: ${received.error?.message}`);
  demand(!sound || error === undefined, 'outcome', `not sent: ${error?.message}`);
}

export const imagesPart: Part = {
  name: 'images',
  what: 'images with heads, bitmaps and tails changed: inspect, extract, load, copy and send',
  executions: { whole: 6_000, short: 25 },
  run,
};
