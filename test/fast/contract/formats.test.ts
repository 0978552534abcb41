import { isImage, openImage } from 'multifd';
import { expect, test } from 'vitest';
import { FORMATS, type FormatName, type FormatRow } from '../../../src/image/formats.ts';
import { be32, concat, header, name, subsection, text } from '../../support/wire.ts';

/** The compiler refuses each of these; it is asked by `npm run check`. */
export type Rows = Readonly<Record<FormatName, FormatRow>>;
// @ts-expect-error a row without a reader, and without a word why
export const WITHOUT_READER: Rows = { ...FORMATS, 'mapped-ram': { recognises: () => true } };
// @ts-expect-error a row that no file is recognised by
export const WITHOUT_HEAD: Rows = { ...FORMATS, stream: { refused: 'it is not read' } };
const { stream: _, ...others } = FORMATS;
// @ts-expect-error a name without a row
export const WITHOUT_ROW: Rows = others;

const capabilities = (...names: string[]): Uint8Array =>
  subsection('configuration/capabilities', be32(names.length), ...names.map(name));
const NOISE = text('behind it nothing of a stream');
const at = (bytes: Uint8Array): Blob => new Blob([Uint8Array.from(bytes)]);

test('what a file begins with says whether it is an image', async () => {
  expect(Object.keys(FORMATS)).toEqual(['mapped-ram', 'stream']);
  const image = at(concat(header('none', capabilities('mapped-ram')), NOISE));
  expect(await isImage(image)).toBe(true);
  for (const other of [header(), header('none', capabilities('x-ignore-shared')), NOISE]) {
    expect(await isImage(at(concat(other, NOISE)))).toBe(false);
  }
  for (const short of ['', 'QEV']) expect(await isImage(at(text(short)))).toBe(false);
  await expect(isImage(at(text('QEVM')))).rejects.toMatchObject({ code: 'ERR_IMAGE' });
});

test.each([
  ['a plain stream', concat(header(), NOISE), 'ERR_IMAGE', 'stream without mapped-ram; make it'],
  [
    'one of another form',
    concat(header('none', capabilities('x-ignore-shared')), NOISE),
    'ERR_UNSUPPORTED',
    'uses x-ignore-shared',
  ],
  ['anything else', concat(text('\x7fELF'), NOISE), 'ERR_MAGIC', 'does not begin with QEVM'],
  ['less than a magic', text('QEV'), 'ERR_IMAGE', 'cut short'],
  ['nothing', text(''), 'ERR_IMAGE', 'cut short'],
])('%s is refused as what it is', async (_, bytes, code, message) => {
  const place = concat(text('before it'), bytes);
  const refusal = { code, message: expect.stringContaining(message) };
  await expect(openImage(at(bytes))).rejects.toMatchObject(refusal);
  await expect(openImage(at(place), { offset: 9 })).rejects.toMatchObject(refusal);
});

test('a head that comes a byte at a time is the same', async () => {
  const bytes = concat(header('none', capabilities('mapped-ram')), NOISE);
  const slow = (): Parameters<typeof isImage>[0] => ({
    name: 'slow',
    size: bytes.length,
    async read(offset, into) {
      const some = bytes.subarray(offset, offset + Math.min(1, into.length));
      into.set(some);
      return some.length;
    },
    async close() {},
  });
  expect(await isImage(slow())).toBe(true);
  const whole = await openImage(at(bytes)).catch((error: unknown) => error);
  await expect(openImage(slow())).rejects.toThrow((whole as Error).message);
});
