import { describe, expect, test } from 'vitest';
import { readReturnMessage, returnMessage, type ReturnMessage } from '../../../src/stream/index.ts';
import { bytes, readerOf } from '../../support/stream.ts';

const MESSAGES: ReadonlyArray<readonly [ReturnMessage, Uint8Array]> = [
  [{ type: 'shut', status: 0 }, bytes('0001 0004 00000000')],
  [{ type: 'shut', status: 1 }, bytes('0001 0004 00000001')],
  [{ type: 'pong', value: 0x01020304 }, bytes('0002 0004 01020304')],
  [{ type: 'switchover-ack' }, bytes('0007 0000')],
];

/** As a QEMU 10.0.2 sends them. */
const POSTCOPY: ReadonlyArray<readonly [ReturnMessage, Uint8Array]> = [
  [
    { type: 'request-pages', block: 'pc.ram', start: 0x3288000, length: 4096 },
    bytes('0003 0013 0000000003288000 00001000 06', "'pc.ram"),
  ],
  [
    { type: 'request-pages', block: undefined, start: 0x32a8000, length: 4096 },
    bytes('0004 000c 00000000032a8000 00001000'),
  ],
  [
    { type: 'received-bitmap', block: 'pc.rom', bitmap: bytes('ff03000000000000') },
    bytes('0005 0007 06', "'pc.rom", '0000000000000008 ff03000000000000 0123456789abcdef'),
  ],
  [{ type: 'resume-ack' }, bytes('0006 0004 00000001')],
];

const OFFERED = { pagesOf: (id: string) => (id === 'pc.rom' ? 32 : undefined) };

describe('the return path', () => {
  test.each(MESSAGES)('%o', async (message, encoded) => {
    expect(returnMessage(message)).toEqual(encoded);
    expect(await readReturnMessage(readerOf(encoded, 1))).toEqual(message);
  });

  test.each(POSTCOPY)('%o', async (message, encoded) => {
    expect(returnMessage(message)).toEqual(encoded);
    expect(await readReturnMessage(readerOf(encoded, 1), OFFERED)).toEqual(message);
  });

  test('a bitmap of more than a reader holds', async () => {
    const bitmap = new Uint8Array(1 << 20).fill(0x5a);
    const message = { type: 'received-bitmap', block: 'pc.ram', bitmap } as const;
    const reader = readerOf(returnMessage(message), 10_000);
    expect(await readReturnMessage(reader, { pagesOf: () => bitmap.length * 8 })).toEqual(message);
    expect(await readReturnMessage(reader)).toBeUndefined();
  });

  test('several in a row, then the end', async () => {
    const reader = readerOf(bytes(...MESSAGES.map(([, encoded]) => encoded)), 3);
    for (const [message] of MESSAGES) expect(await readReturnMessage(reader)).toEqual(message);
    expect(await readReturnMessage(reader)).toBeUndefined();
  });

  test.each([
    ['ERR_STREAM', 'type 0', bytes('0000 0000')],
    ['ERR_STREAM', 'an unknown type', bytes('0008 0000')],
    ['ERR_STREAM', 'SHUT of the wrong length', bytes('0001 0003 000000')],
    ['ERR_STREAM', 'an ACK with data', bytes('0007 0001 00')],
    ['ERR_UNSUPPORTED', 'a page request', bytes('0004 000c')],
    ['ERR_UNSUPPORTED', 'a page request by name', bytes('0003 000e')],
    ['ERR_UNSUPPORTED', 'a received bitmap', bytes('0005 0001 00')],
    ['ERR_UNSUPPORTED', 'a resume', bytes('0006 0004 00000000')],
    ['ERR_PEER_CLOSED', 'a cut header', bytes('0001 00')],
    ['ERR_PEER_CLOSED', 'cut data', bytes('0001 0004 0000')],
  ])('%s for %s', async (code, _what, encoded) => {
    await expect(readReturnMessage(readerOf(encoded))).rejects.toMatchObject({ code });
  });

  const rom = ['0005 0007 06', "'pc.rom"];
  test.each([
    ['ERR_STREAM', 'a request cut in its length', bytes('0004 000b 0000000000000000 000010')],
    [
      'ERR_STREAM',
      'an id that ends early',
      bytes('0003 0013 0000000000000000 00001000 05', "'pc.ram"),
    ],
    [
      'ERR_STREAM',
      'an id beyond its message',
      bytes('0003 0012 0000000000000000 00001000 06', "'pc.ra"),
    ],
    [
      'ERR_BLOCK',
      'an id of control characters',
      bytes('0003 000e 0000000000000000 00001000 01 07'),
    ],
    ['ERR_BLOCK', 'a bitmap of another block', bytes('0005 0002 01', "'x", '0000000000000008')],
    ['ERR_STREAM', 'a bitmap of another length', bytes(...rom, '0000000000000010')],
    ['ERR_STREAM', 'a length beyond all', bytes(...rom, 'ffffffffffffffff')],
    ['ERR_STREAM', 'a bitmap without an end', bytes(...rom, '0000000000000008', '00'.repeat(16))],
    ['ERR_PEER_CLOSED', 'a cut bitmap', bytes(...rom, '0000000000000008 00')],
    ['ERR_STREAM', 'another acknowledgement', bytes('0006 0004 00000000')],
  ])('offered, %s for %s', async (code, _what, encoded) => {
    await expect(readReturnMessage(readerOf(encoded), OFFERED)).rejects.toMatchObject({ code });
  });
});
