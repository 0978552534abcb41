import { givenArray, givenBytes, givenObject, givenText, inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { BLOCK_ENTRY, ID_LENGTH } from './layout.ts';

/**
 * A RAM block's id or a device's idstr as packets have it: UTF-8, NUL-padded to 256 bytes.
 *
 * @throws MultifdError `ERR_OPTION` when it is empty, longer than 255 bytes, holds a NUL, or is
 *   not well-formed
 */
export function encodeId(id: string): Uint8Array<ArrayBuffer> {
  givenText('the name of a block or device', id);
  const field = new Uint8Array(ID_LENGTH);
  const { read } = new TextEncoder().encodeInto(id, field.subarray(0, ID_LENGTH - 1));
  // A surrogate without its other half would be encoded as another character.
  if (id === '' || read < id.length || /[\0\p{Surrogate}]/u.test(id)) {
    throw new MultifdError(
      'ERR_OPTION',
      `${JSON.stringify(id)} can't name a block or device: use 1 to ${ID_LENGTH - 1} bytes ` +
        'of UTF-8 without NUL',
    );
  }
  return field;
}

/**
 * The text before the first NUL of a packet's id field.
 *
 * @throws MultifdError `ERR_PACKET` when it is not valid UTF-8
 */
export function decodeId(idField: ArrayBufferView): string {
  const field = givenBytes('an id field', idField);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(textOf(field));
  } catch (cause) {
    throw new MultifdError('ERR_PACKET', `the id ${quoteId(field)} is not valid UTF-8`, { cause });
  }
}

/**
 * An id field for an error message: quoted, nothing in it that a terminal would obey, and no longer
 * than the field.
 */
export function quoteId(field: Uint8Array): string {
  const text = JSON.stringify(new TextDecoder().decode(textOf(field)));
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

function textOf(field: Uint8Array): Uint8Array {
  const end = field.indexOf(0);
  // A copy, since TextDecoder takes no view of shared memory everywhere.
  return field.slice(0, end < 0 ? field.length : end);
}

/** A RAM block as the core's block table has it. */
export interface BlockTableEntry {
  /** Its name: 1 to 255 bytes of UTF-8. */
  id: string;
  /** Bytes of the block that are in use; pages must lie below it. */
  usedLength: number;
}

/**
 * The table that `checkRam` looks ids up in: one 272-byte entry per block, in the order given.
 *
 * @throws MultifdError `ERR_OPTION` for an id that can't be one, or a length that is no whole
 *   number of bytes
 */
export function blockTable(blocks: readonly BlockTableEntry[]): Uint8Array<ArrayBuffer> {
  givenArray('blocks', blocks, 'an array of { id, usedLength }');
  const table = new Uint8Array(blocks.length * BLOCK_ENTRY.length);
  const view = new DataView(table.buffer);
  for (const [i, block] of blocks.entries()) {
    const { id, usedLength } = givenObject('a block', block, '{ id, usedLength }');
    givenText('the id of a block', id);
    if (!Number.isSafeInteger(usedLength) || usedLength < 0) {
      throw new MultifdError(
        'ERR_OPTION',
        `block ${JSON.stringify(id)} can't be ${inWords(usedLength)} bytes long`,
      );
    }
    const entry = i * BLOCK_ENTRY.length;
    table.set(encodeId(id), entry + BLOCK_ENTRY.id);
    view.setBigUint64(entry + BLOCK_ENTRY.usedLength, BigInt(usedLength), true);
  }
  return table;
}
