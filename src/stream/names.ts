import type { ErrorCode } from '../util/errors.ts';
import type { ByteReader } from './byte-reader.ts';

/** NUL, which ends a name in a packet's header, and what would garble a terminal or a log. */
export const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/**
 * A name as the main stream has them: u8 length, then that many bytes of UTF-8, not NUL-terminated.
 *
 * @param what says in an error whose name it is.
 * @throws MultifdError `code` for an empty name, one that is not UTF-8, or one with a NUL or
 *   control character.
 */
export async function readName(
  reader: ByteReader,
  what: string,
  code: ErrorCode = 'ERR_STREAM',
): Promise<string> {
  await reader.ensure(1);
  return readText(reader, reader.u8(), what, code);
}

/** The same for a text whose length (in bytes, at most 64 KiB) has been read already. */
export async function readText(
  reader: ByteReader,
  length: number,
  what: string,
  code: ErrorCode,
): Promise<string> {
  const at = reader.position;
  if (length === 0) throw reader.error(code, `the name of ${what} is empty`, at);
  await reader.ensure(length);
  const text = decodeUtf8(reader.bytes(length));
  if (text === undefined) throw reader.error(code, `the name of ${what} is not UTF-8`, at);
  if (CONTROL_CHARACTER.test(text)) {
    throw reader.error(
      code,
      `the name of ${what}, ${JSON.stringify(text)}, has a control character`,
      at,
    );
  }
  return text;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
