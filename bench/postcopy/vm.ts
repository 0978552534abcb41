import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { receive } from 'multifd';
import { listeningUri } from '../../test/support/listening-uri.ts';
import { Qemu } from '../../test/support/qemu.ts';
import { benchSector, MEMORY_MIB, TABLE, TOUCHES } from './guest.ts';

/** What both ends of a migration between VMs of the part have. */
const FAST = { 'max-bandwidth': 0, 'downtime-limit': 60_000 };

/** A VM of the part, whose RAM is no file: userfaultfd has none of it then. */
export function startVm(folder: string, args: readonly string[] = []): Promise<Qemu> {
  const disk = join(folder, 'guest.disk');
  writeFileSync(disk, benchSector());
  truncateSync(disk, 2 ** 20);
  return Qemu.start({
    memory: MEMORY_MIB,
    running: true,
    serial: true,
    args: ['-drive', `if=ide,format=raw,file=${disk},file.locking=off`, ...args],
  });
}

/** One that waits for a migration with the capabilities. */
export async function startTarget(
  folder: string,
  capabilities: readonly string[],
): Promise<{ vm: Qemu; uri: string }> {
  const vm = await startVm(folder, ['-incoming', 'defer']);
  await vm.capabilities('return-path', ...capabilities);
  await vm.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
  return { vm, uri: listeningUri(await vm.command('query-migrate')) };
}

/** Makes an image of the guest; with a letter of one that is at that. */
export async function captureGuest(folder: string, image: string, letter?: string): Promise<void> {
  const vm = await startVm(folder);
  try {
    await vm.beats(1);
    if (letter !== undefined) {
      vm.type(letter);
      await vm.beats(100);
    }
    await vm.capabilities('multifd', 'return-path');
    await vm.command('migrate-set-parameters', FAST);
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image });
    await vm.command('migrate', { uri: incoming.uri });
    await incoming.completed;
  } finally {
    await vm.stop();
  }
}

/** Loads the image, by QEMU itself. The guest runs. */
export async function loadGuest(folder: string, image: string): Promise<Qemu> {
  const vm = await startVm(folder, ['-incoming', 'defer']);
  await vm.capabilities('mapped-ram', 'multifd');
  await vm.command('migrate-incoming', { uri: `file:${image}` });
  if ((await vm.migrationEnd()) !== 'completed') throw new Error('QEMU does not load the image');
  return vm;
}

/** What the guest has noted, in ticks of its clock. */
export interface Touches {
  begin: number;
  end: number;
  /** How long each took. */
  touches: number[];
}

export async function touchesOf(vm: Qemu, folder: string): Promise<Touches> {
  const file = join(folder, 'touches');
  await vm.command('pmemsave', { val: TABLE, size: 16 + 4 * TOUCHES, filename: file });
  const bytes = readFileSync(file);
  const [begin, end] = [0, 8].map((at) => Number(bytes.readBigUInt64LE(at)));
  const touches = Array.from({ length: TOUCHES }, (_, n) => bytes.readUInt32LE(16 + 4 * n));
  return { begin: begin!, end: end!, touches };
}
