import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { listeningUri } from '../../test/support/listening-uri.ts';
import { Qemu } from '../../test/support/qemu.ts';
import type { Sample } from '../lib/part.ts';
import { runProgram } from '../lib/process.ts';
import { writeZeros } from './content.ts';
import { meter } from './meter.ts';
import { MIB, type MoveOrder } from './order.ts';

/**
 * A paused VM whose RAM is a file, every page of which is there. `mapped`: and in the process's
 * page tables, as those of a VM are that has been running.
 */
export function vmWithRam(
  ramFile: string,
  bytes: number,
  mapped: boolean,
  ...args: readonly string[]
): Promise<Qemu> {
  const mib = bytes / MIB;
  const backend = `memory-backend-file,id=ram,size=${mib}M,share=on,prealloc=${mapped ? 'on' : 'off'},mem-path=${ramFile}`;
  return Qemu.start({
    machine: 'pc,memory-backend=ram',
    memory: mib,
    args: ['-object', backend, ...args],
  });
}

/** A QEMU to a QEMU, on the same bytes. @throws when what came is not what left. */
export async function moveByQemu(
  { ramFile, bytes, channels, compression }: MoveOrder,
  memoryFolder: string,
  mapped: boolean,
): Promise<Sample> {
  const targetFile = join(memoryFolder, 'target.ram');
  const vms: Qemu[] = [];
  try {
    writeZeros(targetFile, bytes);
    const target = await vmWithRam(targetFile, bytes, mapped, '-incoming', 'defer');
    vms.push(target);
    const source = await vmWithRam(ramFile, bytes, mapped);
    vms.push(source);
    for (const vm of vms) {
      await vm.capabilities('multifd');
      await vm.command('migrate-set-parameters', {
        'multifd-channels': channels,
        'multifd-compression': compression,
        'max-bandwidth': 0,
      });
    }
    await target.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
    const uri = listeningUri(await target.command('query-migrate'));
    const stop = meter(source.pid, target.pid, bytes);
    const begun = performance.now();
    await source.command('migrate', { uri });
    const ends = await Promise.all(vms.map((vm) => vm.migrationEnd()));
    const sample = stop((performance.now() - begun) / 1000);
    if (ends.some((end) => end !== 'completed'))
      throw new Error(`QEMU's migration has ${ends.join(', ')}`);
    await runProgram('cmp', [ramFile, targetFile]);
    return sample;
  } finally {
    await Promise.all(vms.map((vm) => vm.stop()));
    rmSync(targetFile, { force: true });
  }
}
