import { describe, expect, test } from 'vitest';
import { readReturnMessage, returnMessage, type ReturnMessage } from '../../../src/stream/index.ts';
import { bytes, readerOf } from '../../support/stream.ts';

const MESSAGES: ReadonlyArray<readonly [ReturnMessage, Uint8Array]> = [
  [{ type: 'shut', status: 0 }, bytes('0001 0004 00000000')],
  [{ type: 'shut', status: 1 }, bytes('0001 0004 00000001')],
  [{ type: 'pong', value: 0x01020304 }, bytes('0002 0004 01020304')],
  [{ type: 'switchover-ack' }, bytes('0007 0000')],
];

describe('the return path', () => {
  test.each(MESSAGES)('%o', async (message, encoded) => {
    expect(returnMessage(message)).toEqual(encoded);
    expect(await readReturnMessage(readerOf(encoded, 1))).toEqual(message);
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
});
