import { truncateSync, writeFileSync } from 'node:fs';
import type { Architecture } from '../../../support/qemu.ts';
import { aarch64Program, aarch64Start } from './aarch64.ts';
import { RISCV64_START, riscv64Program } from './riscv64.ts';
import { bootSector } from './x86.ts';

export { brokenInvariant, GUEST_START } from './memory.ts';

/**
 * Puts the guest of an architecture, whose pages end at `end` of the RAM, into the file `path`.
 *
 * @returns QEMU's arguments for it. A target gets the same: it has the same devices.
 */
export function guestArguments(architecture: Architecture, path: string, end: number): string[] {
  const load = (at: number): string => `loader,file=${path},addr=${at},cpu-num=0,force-raw=on`;
  switch (architecture) {
    case 'x86_64':
      writeFileSync(path, bootSector(end));
      truncateSync(path, 2 ** 20); // q35's firmware does not boot from a disk of one sector
      return ['-drive', `if=ide,format=raw,file=${path}`];
    case 'aarch64':
      writeFileSync(path, aarch64Program(end));
      // What QEMU takes without a word has 32 bits.
      return ['-cpu', 'cortex-a57', '-device', load(aarch64Start(end))];
    case 'riscv64':
      writeFileSync(path, riscv64Program(end));
      return ['-bios', 'none', '-device', load(RISCV64_START)];
    default:
      throw new Error(`there is no guest for ${architecture}`);
  }
}
