import type { CoreExports } from 'multifd/core';
import {
  BATCH,
  BLOCKS_AT,
  CHECKED_AT,
  COUNTER_AT,
  type Ground,
  HASH_AT,
  INFO_AT,
  type Kernel,
  KEY_AT,
  MASK_AT,
  OFFSETS_AT,
  PACKET_AMOUNT,
  PACKET_AT,
  PACKETS,
  PAGE,
  PAGE_AMOUNT,
  type Pass,
  RAM_AT,
  SLOT_AT,
} from './ground.ts';

const PAYLOAD = BATCH * PAGE;

/** One pass of a kernel by the project's core, as the migration calls it. */
export function wasmPass(kernel: Kernel, core: CoreExports, { pages, copyAt }: Ground): Pass {
  switch (kernel) {
    case 'zero scan: all zero':
    case 'zero scan: the last 16 bytes not':
    case 'zero scan: the first byte not':
      return () => {
        let zeros = 0;
        for (let page = 0; page < pages; page += BATCH)
          zeros += core.zeroMaskAt(RAM_AT, OFFSETS_AT + page * 8, PAGE, BATCH, MASK_AT);
        return amount(zeros === (kernel === 'zero scan: all zero' ? pages : 0), pages);
      };
    case 'compare':
      return () => {
        let changed = 0;
        for (let page = 0; page < pages; page += 32)
          changed |= core.compareMask(RAM_AT + page * PAGE, copyAt + page * PAGE, PAGE, 32);
        return amount(changed === 0, pages);
      };
    case 'hash':
      return () => {
        for (let page = 0; page < pages; page += 32)
          core.hashPages(RAM_AT + page * PAGE, PAGE, 32, KEY_AT, HASH_AT);
        return amount(true, pages);
      };
    case 'gather: scattered':
    case 'gather: neighbours':
      return () => {
        for (let page = 0; page < pages; page += BATCH)
          core.gather(SLOT_AT, RAM_AT, OFFSETS_AT + page * 8, BATCH, PAGE);
        return amount(true, pages);
      };
    case 'scatter':
      return () => {
        for (let page = 0; page < pages; page += BATCH)
          core.scatter(RAM_AT, SLOT_AT, OFFSETS_AT + page * 8, BATCH, PAGE);
        return amount(true, pages);
      };
    case 'packet: fill':
      return () => {
        for (let packet = 0; packet < PACKETS; packet++)
          core.fillRam(PACKET_AT, 0, BATCH, BATCH, 0, PAYLOAD, COUNTER_AT, BLOCKS_AT, OFFSETS_AT);
        return PACKETS * PACKET_AMOUNT;
      };
    case 'packet: check':
      core.fillRam(PACKET_AT, 0, BATCH, BATCH, 0, PAYLOAD, COUNTER_AT, BLOCKS_AT, OFFSETS_AT);
      return () => {
        let refused = 0;
        for (let packet = 0; packet < PACKETS; packet++)
          refused |= core.checkRam(PACKET_AT, BATCH, PAGE, 0, BLOCKS_AT, 1, INFO_AT, CHECKED_AT);
        if (refused !== 0) throw new Error('a right packet was refused');
        return PACKETS * PACKET_AMOUNT;
      };
  }
}

function amount(right: boolean, pages: number): number {
  if (!right) throw new Error('the pages are not what they were filled with');
  return pages * PAGE_AMOUNT;
}
