import { MultifdError } from '../../util/errors.ts';
import type { DeviceRecord } from '../../stream/index.ts';

/**
 * The name of the record that keeps a file's true length: the file became a block, which has whole
 * pages only.
 *
 *     idstr "multifd/file-length" | instance = the block's index | data = be64 length in bytes
 */
const FILE_LENGTH_IDSTR = 'multifd/file-length';

const RECORD_LENGTH = 8;

/**
 * The used length, in bytes, of the block for a file: whole pages, and one page for an empty file,
 * since a list may not end with a block of none.
 */
export function blockLengthFor(fileLength: number, pageSize: number): number {
  return Math.max(1, Math.ceil(fileLength / pageSize)) * pageSize;
}

/** The record for the block at `blockIndex`; `length` in bytes. */
export function fileLengthRecord(blockIndex: number, length: number): DeviceRecord {
  const data = new Uint8Array(RECORD_LENGTH);
  new DataView(data.buffer).setBigUint64(0, BigInt(length));
  return { idstr: FILE_LENGTH_IDSTR, instanceId: blockIndex, data };
}

/**
 * The true length in bytes of each block: what its record says, or the used length without one.
 *
 * @throws MultifdError ERR_IMAGE for a record of no block, a second one for a block, or a length
 *   that does not lie in the block's last page (0 is in the only page of a block that has one).
 */
export function trueLengths(
  records: readonly DeviceRecord[],
  usedLengths: readonly number[],
  pageSize: number,
): number[] {
  const lengths = [...usedLengths];
  const seen = new Set<number>();
  for (const { idstr, instanceId, data } of records) {
    if (idstr !== FILE_LENGTH_IDSTR) continue;
    const usedLength = usedLengths[instanceId];
    if (usedLength === undefined || seen.has(instanceId)) {
      throw new MultifdError(
        'ERR_IMAGE',
        `a record gives a file length for block ${instanceId}, which is not there or has one ` +
          'already',
      );
    }
    seen.add(instanceId);
    const length = parseLength(data);
    if (
      length === undefined ||
      length > usedLength ||
      blockLengthFor(length, pageSize) !== usedLength
    ) {
      throw new MultifdError(
        'ERR_IMAGE',
        `the file length recorded for block ${instanceId} does not fit its ${usedLength} bytes`,
      );
    }
    lengths[instanceId] = length;
  }
  return lengths;
}

function parseLength(data: Uint8Array): number | undefined {
  if (data.length !== RECORD_LENGTH) return undefined;
  const length = Number(new DataView(data.buffer, data.byteOffset, RECORD_LENGTH).getBigUint64(0));
  return Number.isSafeInteger(length) ? length : undefined;
}
