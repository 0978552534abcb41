/**
 * The guest of the part: a program without an operating system, in one boot sector, for a PC of 2
 * GiB. It makes every page another one, and waits for a letter on the serial port,
 * where it writes `B` every some milliseconds meanwhile:
 *
 *     w   goes through its working set for ever, and writes `B` after each MiB of it
 *     r   touches pages here and there, notes how long each took, and waits again
 */
import { Assembler, enterProtectedMode, segments } from '../../test/peers/qemu/guests/x86.ts';

export const MEMORY_MIB = 2048;
const PAGE = 4096;
const START = 1 << 20;
/** Below what the firmware has at the top. */
const END = 0x7f00_0000;
const WORK_START = 32 << 20;
export const WORK_MIB = 50;
/** Ticks for each touch, 32 bits; before them the counter at the beginning and at the end. */
export const TABLE = 2 << 20;
export const TOUCHES = 10_000;
const RANDOM_START = 0x2000_0000;
const RANDOM_MASK = 0x3fff_f000;

/** A boot sector, to be given to QEMU as a raw disk. */
export function benchSector(): Buffer {
  const code = new Assembler();
  enterProtectedMode(code);

  code.put(0xbf).u32(START); //                       edi = START
  code.label('fill');
  code.put(0x89, 0x7f, 0x04); //                      mov [edi + 4], edi
  code.put(0x81, 0xc7).u32(PAGE); //                  edi += PAGE
  code.put(0x81, 0xff).u32(END); //                   cmp edi, END
  code.put(0x72).relative8('fill'); //                jb fill
  code.label('wait');
  code.put(0x41, 0xf7, 0xc1).u32(0xfff); //           inc ecx; test ecx, 0xfff
  code.put(0x75).relative8('poll'); //                jnz poll
  code.put(0x66, 0xba, 0xf8, 0x03, 0xb0, 0x42, 0xee); // dx = 0x3f8; 'B'
  code.label('poll');
  code.put(0x66, 0xba, 0xfd, 0x03, 0xec); //          dx = 0x3fd; in al, dx
  code.put(0xa8, 0x01, 0x74).relative8('wait'); //    test al, 1; jz wait
  code.put(0x66, 0xba, 0xf8, 0x03, 0xec); //          dx = 0x3f8; in al, dx
  code.put(0x3c, 0x77, 0x74).relative8('work'); //    'w'
  code.put(0x3c, 0x72, 0x74).relative8('random'); //  'r'
  code.put(0xeb).relative8('wait');

  code.label('work');
  code.put(0xbf).u32(WORK_START); //                  edi = WORK_START
  code.label('page');
  code.put(0xfe, 0x07); //                            inc byte [edi]
  code.put(0x81, 0xc7).u32(PAGE); //                  edi += PAGE
  code.put(0xf7, 0xc7).u32((1 << 20) - 1); //         test edi, 1 MiB - 1
  code.put(0x75).relative8('page'); //                jnz page
  code.put(0xb0, 0x42, 0xee); //                      'B'
  code.put(0x81, 0xff).u32(WORK_START + (WORK_MIB << 20)); // cmp edi, its end
  code.put(0x72).relative8('page'); //                jb page
  code.put(0xeb).relative8('work');

  code.label('random');
  code.put(0xbe).u32(TABLE + 16); //                  esi = TABLE + 16
  code.put(0xb9).u32(TOUCHES); //                     ecx = TOUCHES
  code.put(0x0f, 0x31); //                            rdtsc
  code
    .put(0xa3)
    .u32(TABLE)
    .put(0x89, 0x15)
    .u32(TABLE + 4); // [TABLE] = edx:eax
  code.label('touch');
  code.put(0x69, 0xdb).u32(1_664_525); //             ebx = ebx * 1664525 + 1013904223
  code.put(0x81, 0xc3).u32(1_013_904_223);
  code.put(0x89, 0xdf, 0x81, 0xe7).u32(RANDOM_MASK); // edi = ebx & RANDOM_MASK
  code.put(0x81, 0xc7).u32(RANDOM_START); //          edi += RANDOM_START
  code.put(0x0f, 0x31, 0x89, 0xc5); //                rdtsc; ebp = eax
  code.put(0xfe, 0x07); //                            inc byte [edi]
  code.put(0x0f, 0x31, 0x29, 0xe8); //                rdtsc; eax -= ebp
  code.put(0x89, 0x06, 0x83, 0xc6, 0x04); //          [esi] = eax; esi += 4
  code.put(0x49, 0x75).relative8('touch'); //         dec ecx; jnz touch
  code.put(0x0f, 0x31); //                            rdtsc
  code
    .put(0xa3)
    .u32(TABLE + 8)
    .put(0x89, 0x15)
    .u32(TABLE + 12);
  code.put(0xe9).relative32('wait');

  segments(code);
  return code.sector();
}
