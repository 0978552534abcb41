import { GUEST_START } from './memory.ts';
import { program } from './program.ts';

/** Of the machine `virt`: where its RAM begins, and a CPU without firmware. */
export const RISCV64_START = 0x8000_0000;

/**
 * The guest of `virt` for one CPU in machine mode, whose pages end at `end` of the RAM.
 * Hand-assembled.
 */
export function riscv64Program(end: number): Buffer {
  return program(
    0x100002b7, //                 lui t0, 0x10000: the serial port, a 16550
    0x04100313, //                 li t1, 'A'
    0x00628023, //                 sb t1, 0(t0)
    0x04200313, //                 li t1, 'B'
    0x00100e13, //                 li t3, 1
    0x01fe1e13, //                 slli t3, t3, 31: the RAM
    lui(T4, end), //               t4 = the length of the RAM to the end
    0x01ce8eb3, //                 add t4, t4, t3
    lui(T5, GUEST_START),
    0x01ee0e33, //                 add t3, t3, t5
    0x00001fb7, //                 lui t6, 1: 4096
    // passes:
    0x000e0393, //                 mv t2, t3
    // pages:
    0x0003cf03, //                 lbu t5, 0(t2)
    0x001f0f13, //                 addi t5, t5, 1
    0x01e38023, //                 sb t5, 0(t2)
    0x01f383b3, //                 add t2, t2, t6
    0xffd3e8e3, //                 bltu t2, t4, pages
    0x00628023, //                 sb t1, 0(t0)
    0xfe5ff06f, //                 j passes
  );
}

const T4 = 29;
const T5 = 30;

/** lui rN, value >> 12 */
function lui(register: number, value: number): number {
  return (value | (register << 7) | 0x37) >>> 0;
}
