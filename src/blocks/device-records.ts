import { equal } from '../util/bytes.ts';
import { MultifdError } from '../util/errors.ts';
import { readTail, tailPieces } from '../stream/index.ts';
import type { DeviceState } from './payloads.ts';

/**
 * Device state as a file has it: a file has no channels for DEVICE_STATE packets, so each piece is
 * a section of its own behind the RAM.
 */

/**
 * The records of a tail that this project built; undefined for any other, such as a VM's, whose
 * sections belong to its devices.
 */
export function ownRecords(tail: Uint8Array, pageSize: number): readonly DeviceState[] | undefined {
  const records = readTail(tail).records();
  let at = 0;
  const isNext = (piece: Uint8Array): boolean => {
    const from = at;
    at += piece.length;
    return equal(piece, tail.subarray(from, at));
  };
  const same = tailPieces(records, pageSize).every(isNext);
  return same && at === tail.length ? records : undefined;
}

/**
 * A tail that also holds more device state, in pieces, which may be views of what is given.
 * @throws MultifdError ERR_UNSUPPORTED when there is some to add to a VM's tail.
 */
export function withDeviceState(
  tail: Uint8Array,
  states: readonly DeviceState[],
  pageSize: number,
): Uint8Array[] {
  if (states.length === 0) return [tail];
  const present = ownRecords(tail, pageSize);
  if (present === undefined)
    throw new MultifdError(
      'ERR_UNSUPPORTED',
      "a file can hold a VM's device sections or DEVICE_STATE packets, not both",
    );
  return tailPieces([...present, ...states], pageSize);
}
