import {
  ByteReader,
  type ByteReaderOptions,
  type ByteSource,
  type MainStreamHandler,
  parseMainStream,
  type ParseOptions,
  type StreamSummary,
} from '../../src/stream/index.ts';

/**
 * Bytes from numbers, hex texts with any spacing, `'text` for the text itself, and other byte
 * arrays.
 */
export function bytes(...parts: Array<number | string | Uint8Array>): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) => {
      if (typeof part === 'number') return [part];
      if (typeof part !== 'string') return [...part];
      if (part.startsWith("'")) return [...Buffer.from(part.slice(1))];
      const hex = part.replace(/\s+/g, '');
      if (!/^([0-9a-f]{2})*$/.test(hex)) throw new Error(`not hex: ${part}`);
      return [...Buffer.from(hex, 'hex')];
    }),
  );
}

/** A source that gives at most `step` bytes at a time, and makes every other read a promise. */
export function sourceOf(content: Uint8Array, step = content.length): ByteSource {
  let at = 0;
  let reads = 0;
  return {
    read(into) {
      const count = Math.min(step, into.length, content.length - at);
      into.set(content.subarray(at, at + count));
      at += count;
      return reads++ % 2 === 0 ? count : Promise.resolve(count);
    },
  };
}

export function readerOf(
  content: Uint8Array,
  step?: number,
  options?: ByteReaderOptions,
): ByteReader {
  return new ByteReader(sourceOf(content, step), options);
}

export type StreamEvent = readonly [name: string, ...values: unknown[]];

/**
 * A handler that keeps what it is told, as plain values. Each promise it gives resolves a turn
 * later.
 */
export function recorder(): {
  events: StreamEvent[];
  handler: MainStreamHandler;
  tail(): Uint8Array;
} {
  const events: StreamEvent[] = [];
  const tail: Uint8Array[] = [];
  const later = async (...event: StreamEvent): Promise<void> => {
    await Promise.resolve();
    events.push(event);
  };
  return {
    events,
    tail: () => bytes(...tail),
    handler: {
      configuration: (configuration) => later('configuration', configuration),
      command: ({ command, data }) => later('command', command, [...data]),
      other: ({ place, kind, idstr }, chunk) =>
        void events.push(['other', place, kind, idstr, [...chunk]]),
      blocks: (blocks) => later('blocks', blocks),
      resize: (blocks) => later('resize', blocks),
      zeroPage: (block, offset) => void events.push(['zero', block, offset]),
      page: (block, offset, content) =>
        later('page', block, offset, [content.length, content[0], content.at(-1)]),
      flush: () => later('flush'),
      endOfSection: (kind, syncMode) => later('end', kind, syncMode),
      tail: (chunk) => void tail.push(chunk.slice()),
    },
  };
}

export interface Parsed {
  events: StreamEvent[];
  tail: Uint8Array;
  summary: StreamSummary;
}

export async function parse(
  content: Uint8Array,
  options: ParseOptions & { step?: number } = {},
): Promise<Parsed> {
  const { step, ...rest } = options;
  const { events, handler, tail } = recorder();
  const summary = await parseMainStream(readerOf(content, step), handler, rest);
  return { events, tail: tail(), summary };
}

/**
 * The pieces of a small stream, written from the format's tables by hand; a test exchanges those it
 * is about.
 */
export const PIECES = {
  magic: bytes("'QEVM", '00000003'),
  configuration: bytes('07 00000004', "'test"),
  command: bytes('08 0001 0000'),
  start: bytes('01 00000001 03', "'ram", '00000000 00000004'),
  memSize: bytes('0000000000005004'),
  blocks: bytes('04', "'one!", '0000000000003000', '05', "'a/two", '0000000000002000'),
  startContent: bytes('0000000000000200'),
  startEnd: bytes('0000000000000010 7e 00000001'),
  part: bytes('02 00000001'),
  partContent: bytes(
    '0000000000001002 04',
    "'one!",
    '00',
    '0000000000002022 00',
    '0000000000000002 05',
    "'a/two",
    '00',
    '0000000000000200',
  ),
  partEnd: bytes('0000000000000010 7e 00000001'),
  end: bytes('03 00000001'),
  endContent: bytes('0000000000000200'),
  endEnd: bytes('0000000000000010 7e 00000001'),
  tail: bytes('00'),
} satisfies Record<string, Uint8Array>;

export function stream(replaced: Partial<typeof PIECES> = {}): Uint8Array {
  return bytes(...Object.values({ ...PIECES, ...replaced }));
}
