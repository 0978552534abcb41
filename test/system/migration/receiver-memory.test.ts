import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { PAGE as IMAGE_PAGE, writeImage } from '../../support/image.ts';
import { run } from '../../support/command.ts';
import { Source } from '../../support/peer.ts';
import {
  be32,
  concat,
  end,
  endOfSection,
  flush,
  header,
  name,
  normalPage,
  part,
  start,
  syncPacket,
  text,
} from '../../support/wire.ts';
import { PAGE, pageOf, withFolder } from '../../support/migration.ts';

const MIB = 2 ** 20;
/** What a process takes differs by this much from run to run. */
const SPREAD = 12 * MIB;
const TIME = 300_000;
const PEAK = fileURLToPath(new URL('../../support/peak.cjs', import.meta.url));
const BUILT = new URL('../../../build/index.js', import.meta.url).href;

/** A receiver in a process of its own, which says how the migration ended. */
const PROGRAM = `
  const [, , path, sink] = process.argv;
  const { receive } = await import(${JSON.stringify(BUILT)});
  const pages = { write() {}, zero() {} };
  const sinks = {
    memory: { blocks: { ram: new SharedArrayBuffer(16 * ${PAGE}) } },
    store: { image: { begin: ({ blocks }) => blocks.map(() => pages), commit() {}, discard() {} } },
    image: { image: path + '.img' },
  };
  const options = { uri: 'unix:' + path, channels: 1, inline: true, timeout: 120_000 };
  const target = await receive({ ...options, ...sinks[sink] });
  console.log('listening');
  console.log(await target.completed.then(() => 'completed', ({ code }) => code));
`;

type Sink = 'memory' | 'store' | 'image';

interface Received {
  /** completed, or the error's code. */
  outcome: string;
  /** Bytes of memory at the most. */
  peak: number;
}

/** What follows the block list, in pieces, and how long it is. */
type Content = Iterable<Uint8Array>;

/** Receives a block of 16 pages with `pages` on the main channel, and `tail` behind it. */
async function receiving(sink: Sink, pages: Content, tail: Content): Promise<Received> {
  return withFolder(async (folder) => {
    const program = join(folder, 'program.mjs');
    await writeFile(program, PROGRAM);
    const socket = join(folder, 'socket');
    const args = ['--require', PEAK, program, socket, sink];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { out: '', error: '' };
    child.stderr.setEncoding('utf8').on('data', (data: string) => (said.error += data));
    child.stdout.setEncoding('utf8').on('data', (data: string) => (said.out += data));
    const closed = once(child, 'close');
    try {
      while (!said.out.includes('listening')) {
        await Promise.race([once(child.stdout, 'data'), closed]);
      }
      const source = await Source.connect(`unix:${socket}`, 1);
      source.toAll(syncPacket(), syncPacket());
      const blocks = start([{ id: 'ram', length: 16 * PAGE }]);
      await source.main.putAll(header(), blocks, flush(), endOfSection(), part());
      const gone = closed.then(() => true);
      const put = async (content: Content): Promise<void> => {
        for (const piece of content) {
          if (await Promise.race([source.main.putAll(piece).then(() => false), gone])) return;
        }
      };
      await put(pages);
      await put([flush(), endOfSection(), end(), endOfSection()]);
      await put(tail);
      source.main.end();
      await closed;
      await source.close();
    } finally {
      child.kill('SIGKILL');
    }
    const peak = /peak memory: (\d+) KiB/.exec(said.error);
    if (peak === null) throw new Error(`the receiver did not end well: ${said.out}${said.error}`);
    return { outcome: said.out.trim().split('\n').at(-1)!, peak: Number(peak[1]) * 1024 };
  });
}

function* filled(byte: number, bytes: number): Content {
  const piece = new Uint8Array(MIB).fill(byte);
  for (let left = bytes; left > 0; left -= MIB) yield piece.subarray(0, Math.min(left, MIB));
}

/** A tail of one device section. */
function* tailOf(device: Uint8Array, contentLength: number): Content {
  yield concat(Uint8Array.of(4), be32(9), name('dev'), be32(0), be32(2));
  yield* filled(0x7b, contentLength);
  const description = concat(text('{"devices":['), device, text(']}'));
  yield concat(Uint8Array.of(0x7e), be32(9), Uint8Array.of(0, 6), be32(description.length));
  yield description;
}

const device = (fields: string): Uint8Array =>
  text(`{"name":"dev","instance_id":0,"version":2,"fields":[${fields}]}`);
const SIZE = 48 * MIB;
const large = (): Content => tailOf(device(`{"size":${SIZE}}`), SIZE);
const manyFields = (): Content => tailOf(device(`${'{"size":0},'.repeat(1_300_000)}{"size":4}`), 4);
const manyDevices = (): Content => {
  const one = concat(...tailOf(device('{"size":4}'), 4));
  const more = text(`${',{}'.repeat(2_000_000)}]}`);
  // The length of the description is before its first brace.
  const at = one.indexOf(0x7b, 22) - 4;
  const tail = concat(one.subarray(0, -2), more);
  tail.set(be32(tail.length - at - 4), at);
  return [tail];
};

function* hole(): Content {
  yield Uint8Array.of(4);
  yield* filled(0, 255 * MIB);
}

function* pagesOf(bytes: number): Content {
  yield normalPage(0, pageOf(1), 'ram');
  const page = (n: number): Uint8Array => normalPage((n % 16) * PAGE, pageOf(n));
  const many = concat(...Array.from({ length: 256 }, (_, n) => page(n)));
  for (let left = bytes; left > 0; left -= many.length) yield many;
}

describe.each<[Sink, number]>([
  ['memory', 1.2],
  ['store', 1.2],
  ['image', 0.2],
])('a receiver into %s', (sink, most) => {
  let ordinary: Received;
  beforeAll(async () => {
    // As many bytes, but of pages, which stay where they belong.
    ordinary = await receiving(sink, pagesOf(SIZE), [Uint8Array.of(0)]);
    expect(ordinary.outcome).toBe('completed');
  }, TIME);

  test.each<[string, () => Content, string, number]>([
    ['48 MiB of device sections', large, 'completed', SIZE],
    ['255 MiB of zeros for device sections', hole, 'ERR_STREAM', 64 * MIB],
    ['a description of more than a million empty fields', manyFields, 'ERR_PEER_CLOSED', 15 * MIB],
    ['one of two million empty devices', manyDevices, 'ERR_PEER_CLOSED', 6 * MIB],
  ])(
    'keeps hardly more of %s than came',
    async (_what, tail, outcome, came) => {
      const received = await receiving(sink, [], tail());
      expect(received.outcome).toBe(outcome);
      expect(received.peak - ordinary.peak).toBeLessThan(most * came + SPREAD);
    },
    TIME,
  );
});

describe('a look into an image', () => {
  const looks = ['inspect', 'inspect --devices', 'extract --format elf'];
  const look = async (image: string, command: string): Promise<number> => {
    const { NODE_OPTIONS: before } = process.env;
    process.env['NODE_OPTIONS'] = `--require ${PEAK}`;
    try {
      const [what, ...options] = command.split(' ');
      const out = what === 'extract' ? [`${image}.out`] : [];
      const { stderr } = await run(what!, image, ...options, ...out);
      return Number(/peak memory: (\d+) KiB/.exec(stderr)![1]) * 1024;
    } finally {
      if (before === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = before;
    }
  };

  test.each<[string, () => Content, number, number]>([
    ['48 MiB of device sections', large, 0, SIZE],
    ['a description of more than a million empty fields', manyFields, 0, 15 * MIB],
    ['one of two million empty devices', manyDevices, 0, 6 * MIB],
    ['a hole for device sections', () => [Uint8Array.of(4)], 2 ** 31, 64 * MIB],
  ])(
    'takes hardly more memory for %s than it has',
    async (_what, tail, more, came) => {
      await withFolder(async (folder) => {
        const [small, image] = [join(folder, 'small'), join(folder, 'image')];
        const blocks = [{ id: 'pc.ram', content: new Uint8Array(IMAGE_PAGE).fill(1) }];
        await writeImage(small, blocks);
        await writeImage(image, blocks, { tail: concat(...tail()) });
        if (more > 0) await truncate(image, more);
        for (const command of looks) {
          const [ordinary, peak] = [await look(small, command), await look(image, command)];
          expect(peak - ordinary, command).toBeLessThan(1.2 * came + SPREAD);
        }
      });
    },
    TIME,
  );
});
