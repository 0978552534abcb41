/**
 * zstd where the runtime has none of its own, as on Node 20: decoding in WebAssembly beside
 * JavaScript, one thread, from packets of 128 pages of text at level 1; and beside another build,
 * such as that of the commit before a change, a whole migration within this process, through
 * threads, and what a target does with a recording of it, where nothing has to be encoded.
 *
 *     node build/bench/zstd.js [--rounds 7] [--mib 64] [--before CHECKOUT]
 *
 * CHECKOUT has been built. A Node that has zstd of its own uses that in migrations.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type * as Multifd from 'multifd';
import type { Decoder } from '../src/compression/codec.ts';
import { scriptZstdDecoder } from '../src/compression/codecs/script-zstd.ts';
import { wasmZstdDecoder } from '../src/compression/codecs/wasm-zstd-decoder.ts';
import { wasmZstdEncoder } from '../src/compression/codecs/wasm-zstd-encoder.ts';
import { inRounds } from './lib/rounds.ts';
import { median, spreadText } from './lib/spread.ts';
import { ROOT } from './lib/tools.ts';
import { writeContent } from './migration/content.ts';
import { allocate, MIB } from './migration/order.ts';

const PACKET = 512 * 1024;
const LOOPBACK = 'tcp:127.0.0.1:0';
const CHANNELS = 2;
const ZSTD = { channels: CHANNELS, compression: 'zstd' } as const;

interface Contender {
  name: string;
  /** Moves all of the RAM once. @throws when what came is not what left. */
  move(): Promise<void>;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    mib: { type: 'string', default: '64' },
    before: { type: 'string' },
  },
});
const ram = text(Number(values.mib) * MIB);
await compare('decode', await decoders());
if (values.before !== undefined) await compareBuilds(resolve(values.before));

async function compareBuilds(before: string): Promise<void> {
  const source = allocate({ by: 'multifd', bytes: ram.length });
  source.ram.set(ram);
  const blocks = [{ id: 'ram', source: source.memory! }];
  const folder = mkdtempSync(join(tmpdir(), 'multifd-bench-'));
  try {
    const path = join(folder, 'recording');
    const { record, replay, send } = await build(ROOT.pathname);
    const recording = await record({ uri: LOOPBACK, path, channels: CHANNELS });
    await send({ uri: recording.uri, blocks, ...ZSTD });
    await recording.completed;
    const [old, now] = [await build(before), await build(ROOT.pathname)];
    await compare('migrate', [
      receiving('before', old, (uri) => old.send({ uri, blocks, ...ZSTD })),
      receiving('this build', now, (uri) => now.send({ uri, blocks, ...ZSTD })),
    ]);
    await compare('receive a recording', [
      receiving('before', old, (uri) => replay({ uri, path })),
      receiving('this build', now, (uri) => replay({ uri, path })),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function text(bytes: number): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'multifd-bench-'));
  try {
    writeContent(join(folder, 'ram'), bytes, 'text');
    return new Uint8Array(readFileSync(join(folder, 'ram')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The last of the contenders is compared with the first. */
async function compare(what: string, contenders: readonly Contender[]): Promise<void> {
  const all = contenders.map((contender) => ({ ...contender, speeds: [] as number[] }));
  for (const { move } of all) await move();
  await inRounds(all, Number(values.rounds), async ({ move, speeds }) => {
    const begun = performance.now();
    await move();
    speeds.push(ram.length / 1000 / (performance.now() - begun));
  });
  const [first, last] = [all[0]!, all.at(-1)!].map(({ speeds }) => median(speeds)) as [
    number,
    number,
  ];
  for (const { name, speeds } of all)
    console.log(`${what}: ${name}: ${spreadText(speeds, 0)} MB/s`);
  console.log(`${what}: ratio of medians ${(last / first).toFixed(2)}`);
}

async function decoders(): Promise<Contender[]> {
  const encoder = await wasmZstdEncoder(1);
  const payloads: Uint8Array[] = [];
  for (let at = 0; at < ram.length; at += PACKET)
    payloads.push(...(await encoder.encode(ram.subarray(at, at + PACKET))));
  encoder.close();
  const through = (name: string, make: () => Decoder | Promise<Decoder>): Contender => ({
    name,
    async move() {
      const decoder = await make();
      const pages = new Uint8Array(PACKET);
      for (const [index, payload] of payloads.entries()) {
        await decoder.decode(payload, pages);
        demandSame(pages, ram.subarray(index * PACKET, (index + 1) * PACKET));
      }
      decoder.close();
    },
  });
  return [through('JavaScript', scriptZstdDecoder), through('WebAssembly', wasmZstdDecoder)];
}

async function build(checkout: string): Promise<typeof Multifd> {
  return (await import(pathToFileURL(join(checkout, 'build/index.js')).href)) as typeof Multifd;
}

/** A target that has this build's code, and what comes to it. */
function receiving(
  name: string,
  { receive }: typeof Multifd,
  moveTo: (uri: string) => Promise<unknown>,
): Contender {
  const target = allocate({ by: 'multifd', bytes: ram.length });
  return {
    name,
    async move() {
      const incoming = await receive({ uri: LOOPBACK, blocks: { ram: target.memory! }, ...ZSTD });
      await moveTo(incoming.uri);
      await incoming.completed;
      demandSame(target.ram, ram);
    },
  };
}

function demandSame(came: Uint8Array, left: Uint8Array): void {
  if (Buffer.compare(came, left) !== 0) throw new Error('what came is not what left');
}
