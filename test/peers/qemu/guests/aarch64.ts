import { GUEST_START } from './memory.ts';
import { program } from './program.ts';

/** Of the machine `virt`: its RAM, and its serial port, a PL011. */
const RAM = 0x4000_0000;
const SERIAL = 0x0900_0000;

/** Behind its pages: where the RAM begins is the device tree. */
export const aarch64Start = (end: number): number => RAM + end;

/**
 * The guest of `virt` for one CPU at EL1, without an MMU, whose pages end at `end` of the RAM.
 * Hand-assembled.
 */
export function aarch64Program(end: number): Buffer {
  return program(
    movz64(1, SERIAL), //     x1 = the serial port
    movz32(2, 0x301), //      w2 = transmitter and receiver on
    0xb9003022, //            str w2, [x1, #0x30]
    movz32(2, 0x41), //       w2 = 'A'
    0xb9000022, //            str w2, [x1]
    movz32(2, 0x42), //       w2 = 'B'
    movz64(4, RAM + end), //  x4 = the end
    // passes:
    movz64(3, RAM + GUEST_START),
    // pages:
    0x39400065, //            ldrb w5, [x3]
    0x110004a5, //            add w5, w5, #1
    0x39000065, //            strb w5, [x3]
    0x91400463, //            add x3, x3, #4096
    0xeb04007f, //            cmp x3, x4
    0x54ffff63, //            b.lo pages
    0xb9000022, //            str w2, [x1]
    0x17fffff8, //            b passes
  );
}

/** movz xN, #(value >> 16), lsl #16 */
function movz64(register: number, value: number): number {
  return (0xd2a00000 | ((value >>> 16) << 5) | register) >>> 0;
}

/** movz wN, #value */
function movz32(register: number, value: number): number {
  return (0x52800000 | (value << 5) | register) >>> 0;
}
