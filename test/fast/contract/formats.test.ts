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
  for (const other of [header(), header('none', capabilities('x-another')), NOISE]) {
    expect(await isImage(at(concat(other, NOISE)))).toBe(false);
  }
  for (const short of ['', 'QEV']) expect(await isImage(at(text(short)))).toBe(false);
  await expect(isImage(at(text('QEVM')))).rejects.toMatchObject({ code: 'ERR_IMAGE' });
});

test.each([
  ['a plain stream', concat(header(), NOISE), 'ERR_IMAGE', 'stream without mapped-ram; make it'],
  [
    'one of another form',
    concat(header('none', capabilities('x-another')), NOISE),
    'ERR_UNSUPPORTED',
    'uses x-another',
  ],
  ['anything else', NOISE, 'ERR_MAGIC', 'it begins with 62 65 68 69, not with QEVM'],
  ['less than a magic', text('QEV'), 'ERR_IMAGE', 'too short'],
  ['nothing', text(''), 'ERR_IMAGE', 'too short'],
])('%s is refused as what it is', async (_, bytes, code, message) => {
  const place = concat(text('before it'), bytes);
  const refusal = { code, message: expect.stringContaining(message) };
  await expect(openImage(at(bytes))).rejects.toMatchObject(refusal);
  await expect(openImage(at(place), { offset: 9 })).rejects.toMatchObject(refusal);
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const elf = (...type: number[]): Uint8Array =>
  concat(
    text('\x7fELF'),
    bytes(2, type[0] === 0 ? 2 : 1, 1),
    bytes(...Array(9).fill(0)),
    bytes(...type),
  );

test.each([
  ['an ELF core dump', elf(4, 0)],
  ['an ELF core dump', elf(0, 4)],
  ['an ELF program or library', elf(3, 0)],
  ['a kdump-compressed dump', text('KDUMP   ')],
  ['a kdump-compressed dump in the flattened form', text('makedumpfile\0\0\0\0')],
  ['a qcow2 disk image', bytes(0x51, 0x46, 0x49, 0xfb)],
  ['a libvirt save file', text('LibvirtQemudSave')],
  ['an incomplete libvirt save file', text('LibvirtQemudPart')],
  ['a gzip file', bytes(0x1f, 0x8b, 8)],
  ['a zstd file', bytes(0x28, 0xb5, 0x2f, 0xfd)],
  ['an xz file', bytes(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)],
])('%s is called by its name, and so is the file', async (kind, beginning) => {
  const file = new File([Uint8Array.from(concat(beginning, NOISE))], 'guest.save');
  await expect(openImage(file)).rejects.toMatchObject({
    code: 'ERR_MAGIC',
    message: expect.stringMatching(
      new RegExp(`^guest\\.save: this is ${kind}, no mapped-ram image`),
    ),
  });
  expect(await isImage(file)).toBe(false);
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
  await expect(openImage(slow())).rejects.toThrow(
    (whole as Error).message.replace('the Blob', 'slow'),
  );
});
