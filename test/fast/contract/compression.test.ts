import { send } from 'multifd';
import { expect, test } from 'vitest';
import { COMPRESSION } from '../../../src/core/layout.ts';
import {
  COMPRESSIONS,
  METHODS,
  type MethodName,
  type MethodRow,
} from '../../../src/compression/index.ts';

/** The compiler refuses each of these; it is asked by `npm run check`. */
export type Rows = Readonly<Record<MethodName, MethodRow>>;
// @ts-expect-error a row without a codec
export const WITHOUT_CODEC: Rows = { ...METHODS, zlib: {} };
const { qpl: _, ...others } = METHODS;
// @ts-expect-error a value of the packets' flags without a row
export const WITHOUT_ROW: Rows = others;

const send1 = (compression: unknown): Promise<unknown> =>
  send({
    uri: 'tcp:127.0.0.1:1',
    blocks: [{ id: 'ram', source: new Uint8Array(4096) }],
    compression: compression as 'none',
  });

test('each value of the flags is a method that is offered, or refused by its name', async () => {
  expect(Object.keys(METHODS)).toEqual(Object.keys(COMPRESSION));
  expect(COMPRESSIONS).toEqual(['none', 'zlib', 'zstd']);
  for (const name of ['qpl', 'uadk', 'qatzip']) {
    await expect(send1(name)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(`^compression "${name}" is known, but it needs`),
    });
  }
  for (const name of ['lz4', 'toString', 7, {}]) {
    await expect(send1(name)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(/^compression .*: give none, zlib, zstd$/),
    });
  }
});
