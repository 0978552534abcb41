/**
 * A WebAssembly program, as small as one can be that has something to move: two pages of memory, a
 * counter, and a step that counts and writes the count to the next page of 4 KiB.
 *
 * ```
 * (module (memory (export "memory") 2 16) (global (export "count") (mut i32) (i32.const 0))
 *   (func (export "step")
 *     (global.set 0 (i32.add (global.get 0) (i32.const 1)))
 *     (i32.store (i32.and (i32.shl (global.get 0) (i32.const 12)) (i32.const 0x1ffff)) (global.get 0))))
 * ```
 */
const HEX =
  '0061736d01000000' + // magic, version
  '010401600000' + // type: no parameters, no results
  '03020100' + // one function of it
  '050401010210' + // memory of 2 to 16 pages
  '0606017f0141000b' + // a mutable i32 of 0
  '071903066d656d6f72790200' +
  '05636f756e740300' +
  '04737465700000' + // the three exports
  '0a1a011800' +
  '230041016a2400' +
  '2300410c74' +
  '41ffff0771' +
  '2300' +
  '360200' +
  '0b'; // the step

export const REACTOR_BYTES = Uint8Array.from(HEX.match(/../g)!, (byte) =>
  Number.parseInt(byte, 16),
);
