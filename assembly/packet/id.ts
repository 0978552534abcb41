import { ID_LENGTH } from '../../src/core/packet-layout';

/** Length in bytes of the NUL-terminated id in the 256 bytes at `id`; 256 when no NUL ends it. */
export function idLength(id: usize): u32 {
  let length: u32 = 0;
  while (length < <u32>ID_LENGTH && load<u8>(id + length)) length++;
  return length;
}
