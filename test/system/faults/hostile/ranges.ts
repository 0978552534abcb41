import { mkdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { extractBlock, inspectDevices, inspectImage, openImage, type RandomAccess } from 'multifd';
import type { Random } from '../../../support/random.ts';
import { memoryImage, pcImage } from '../bases.ts';
import { extreme64, junkText } from '../mutate.ts';
import { demand, ending, holdsOnly, sameBytes } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}

/** What a server does wrong with one answer. Whoever reads can tell each of these. */
type Lie = (
  random: Random,
  answer: Answer,
  response: ServerResponse,
  whole: Uint8Array,
) => boolean | void;

const LIES: Record<string, Lie> = {
  'another range': (random, answer) => {
    const [first, last, total] = [extreme64(random), extreme64(random), extreme64(random)];
    answer.headers['content-range'] = `bytes ${first}-${last}/${total}`;
  },
  'a range that is none': (random, { headers }) => {
    const none = ['', 'bytes */*', 'bytes 0-0/*', 'items 0-1/2', 'bytes x'];
    headers['content-range'] = random.pick(none);
  },
  'a length that is not its own': (random, { headers }) => {
    headers['content-range'] = headers['content-range']!.replace(/\d+$/, String(random.word()));
  },
  'a short body': (random, answer) => {
    answer.body = answer.body.subarray(0, random.below(answer.body.length));
    answer.headers['content-length'] = String(answer.body.length);
  },
  'a long body': (random, answer) => {
    answer.body = Buffer.concat([answer.body, random.bytes(1 + random.below(1000))]);
    answer.headers['content-length'] = String(answer.body.length);
  },
  'a body that breaks off': (random, { status, headers, body }, response) => {
    response.writeHead(status, { ...headers, 'content-length': String(body.length) });
    response.write(body.subarray(0, random.below(body.length)), () => response.destroy());
    return true;
  },
  'a body without an end': (_, { status, headers }, response) => {
    response.writeHead(status, headers);
    const more = (): void => {
      const again = (): NodeJS.Immediate => setImmediate(more);
      if (!response.destroyed) response.write(new Uint8Array(65536), again);
    };
    more();
    return true;
  },
  'no end of silence': (_, { status, headers }, response) => {
    response.writeHead(status, headers).flushHeaders();
    return true;
  },
  'another ETag': (random, { headers }) => void (headers['etag'] = `"${random.word()}"`),
  'no ETag any more': (_, { headers }) => void delete headers['etag'],
  'an ETag that is none': (_, { headers }) => void (headers['etag'] = 'W/"1"'),
  'all of it, 200': (_, answer, __, whole) => {
    answer.status = 200;
    delete answer.headers['content-range'];
    answer.body = whole;
  },
  'another status': (random, answer) => {
    const some = [204, 301, 304, 401, 403, 404, 412, 416, 429, 500, 503];
    answer.status = random.pick(some);
    answer.body = new Uint8Array(0);
  },
  compressed: (_, answer) => {
    answer.headers['content-encoding'] = 'gzip';
    answer.body = gzipSync(answer.body);
  },
  multipart: (_, { headers }) => {
    headers['content-type'] = 'multipart/byteranges; boundary=x';
    delete headers['content-range'];
  },
  'a redirection to itself': (_, answer) => {
    answer.status = 302;
    answer.headers['location'] = '/again';
    answer.body = new Uint8Array(0);
  },
  'no answer at all': (_, __, response) => {
    response.destroy();
    return true;
  },
  'no HTTP': (random, _, response) => {
    response.socket!.end(`${junkText(random)}\r\n\r\n`);
    return true;
  },
};

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const base = await (random.chance(0.5) ? memoryImage() : pcImage());
  input(2 * base.bytes.length);
  const lie = random.chance(0.1) ? undefined : random.pick(Object.keys(LIES));
  const from = random.below(4);
  const always = random.chance(0.4);
  note(`${lie ?? 'no lie'}, ${always ? 'from answer' : 'at answer'} ${from} on`);
  let answers = 0;
  const server = createServer((request, response) => {
    const answer = soundAnswer(request, base.bytes);
    const lies = always ? answers >= from : answers === from;
    answers++;
    if (lie !== undefined && lies && LIES[lie]!(random, answer, response, base.bytes)) return;
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`;
  try {
    await read(random, url, folder, base.blocks, lie === undefined);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function read(
  random: Random,
  url: string,
  folder: string,
  blocks: ReadonlyMap<string, Uint8Array>,
  sound: boolean,
): Promise<void> {
  const options = { timeout: 200 };
  const refused = (message: string | undefined): void =>
    demand(!sound || message === undefined, 'outcome', `refused: ${message}`);
  const act = random.below(3);
  if (act === 0) refused((await ending(inspectImage(url, options))).error?.message);
  else if (act === 1) refused((await ending(inspectDevices(url, options))).error?.message);
  else {
    const out = join(folder, 'out');
    await mkdir(out);
    const [id, content] = [...blocks][0] ?? ['pc.ram', undefined];
    const { error } = await ending(extractBlock(url, id, join(out, 'file'), options));
    await holdsOnly(out, ...(error === undefined ? ['file'] : []));
    refused(error?.message);
    // Whatever it was told: what it takes for right is right.
    if (error === undefined && content !== undefined) {
      sameBytes(await readFile(join(out, 'file')), content, id);
    }
  }
}

function soundAnswer(request: IncomingMessage, whole: Buffer): Answer {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? ['', '0', '0'];
  const end = Math.min(whole.length, Number(last) + 1);
  const body = whole.subarray(Number(first), end);
  const range = `bytes ${first}-${end - 1}/${whole.length}`;
  const headers = { etag: '"1"', 'content-range': range, connection: 'close' };
  return { status: 206, headers, body };
}

export const rangesPart: Part = {
  name: 'ranges',
  what: 'HTTP servers of images that lie: ranges, lengths, ETags, bodies, status',
  executions: { whole: 4_000, short: 30 },
  run,
};

/** Access of the caller's own that does not keep to its contract. */
async function runAccess({ random, input, note }: Execution): Promise<void> {
  const { bytes } = await memoryImage();
  input(2 * bytes.length);
  const lie = random.below(5);
  note(`lie ${lie}`);
  let reads = 0;
  const at = random.below(6);
  const access: RandomAccess = {
    name: 'the harness',
    size: lie === 0 ? random.pick([0, 1, -1, NaN, 2 ** 53, 1.5]) : bytes.length,
    async read(offset, into) {
      const count = Math.max(0, Math.min(into.length, bytes.length - offset));
      into.set(bytes.subarray(offset, offset + count));
      if (reads++ !== at) return count;
      if (lie === 1) throw new TypeError('made by the harness');
      if (lie === 2) return random.pick([-1, NaN, into.length + 1, 2 ** 53]);
      return lie === 3 ? 0 : count;
    },
    close: async () => {},
  };
  await ending(async () => {
    const image = await openImage(access);
    try {
      for (const block of image.blocks) await image.readPages(block, 0, new Uint8Array(4096));
    } finally {
      await image.close();
    }
  });
}

export const accessPart: Part = {
  name: 'access',
  what: "a caller's own access to an image, which lies about its size and what it has read",
  executions: { whole: 1_000, short: 15 },
  run: runAccess,
};
