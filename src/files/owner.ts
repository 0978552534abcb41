import { createHash, randomBytes } from 'node:crypto';
import { readFile, readlink, statfs } from 'node:fs/promises';
import { systemCode } from './io.ts';

/**
 * A process, so that others can find out whether it is over:
 *
 *     BOOT-SPACE-PID-START-INSTANCE
 *
 * BOOT and SPACE are hashes of the kernel's boot id and of the namespaces that PID and START (the
 * process's start, in clock ticks since the boot) are of. INSTANCE is one of this module: a process
 * can have several, in threads. Where that can't be found out, which is anywhere but on Linux, it
 * is `PID-INSTANCE`, of which that can never be told.
 */
export const OWNER = /(?:[0-9a-f]{16}-[0-9a-f]{8}-\d{1,10}-\d{1,20}|\d{1,10})-[0-9a-f]{8}/;

const INSTANCE = randomBytes(4).toString('hex');

interface Place {
  boot: string;
  space: string;
  /** Of this process. */
  start: string;
}

let asked: Promise<Place | undefined> | undefined;

/** Where this process is; undefined if it can't be found out. */
function placeOfThis(): Promise<Place | undefined> {
  asked ??= (async () => {
    try {
      const { pid, start } = processIn(await readFile('/proc/self/stat', 'latin1'));
      // Another namespace's /proc says nothing of the numbers here.
      if (pid !== process.pid) return undefined;
      const boot = hashOf(await readFile('/proc/sys/kernel/random/boot_id', 'latin1'), 16);
      const pids = await readlink('/proc/self/ns/pid');
      const times = await readlink('/proc/self/ns/time').catch(() => '');
      const space = hashOf(`${pids} ${times}`, 8);
      return { boot, space, start };
    } catch {
      return undefined;
    }
  })();
  return asked;
}

export async function ownerOfThis(): Promise<string> {
  const place = await placeOfThis();
  return place === undefined
    ? `${process.pid}-${INSTANCE}`
    : `${place.boot}-${place.space}-${process.pid}-${place.start}-${INSTANCE}`;
}

/**
 * Whether a process can't be at work any more with what has its name in the folder: it was of this
 * boot, in sight, and is gone, even if its number was given again; or it was of another boot, and
 * the folder's file system is one that only this kernel can have mounted. Of this module's own
 * instance it is true: what that is at work with, it knows itself. Never throws; in doubt, false.
 */
export async function isOver(owner: string, folder: string): Promise<boolean> {
  const place = await placeOfThis();
  const [boot, space, number, start, instance] = owner.split('-');
  if (place === undefined || instance === undefined) return false;
  if (boot !== place.boot) return isLocal(folder);
  const pid = Number(number);
  if (space !== place.space || pid === 0) return false;
  if (pid === process.pid && start === place.start) return instance === INSTANCE;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Unlike /proc, which can hide others' processes, this sees all of them.
    if (systemCode(error) === 'ESRCH') return true;
  }
  const found = await readFile(`/proc/${pid}/stat`, 'latin1').then(processIn, () => undefined);
  return found !== undefined && (found.start !== start || found.state === 'Z');
}

/** Of /proc/PID/stat: the name in it can have anything in it but ends with the last parenthesis. */
function processIn(stat: string): { pid: number; state: string; start: string } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid: Number.parseInt(stat, 10), state: fields[0]!, start: fields[19]! };
}

/**
 * The magic numbers of statfs(2): ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs, overlayfs.
 */
const LOCAL = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x01021994, 0x794c7630,
]);

/** Whether no other kernel can have the folder's file system at the same time. */
async function isLocal(folder: string): Promise<boolean> {
  return statfs(folder).then(
    ({ type }) => LOCAL.has(type >>> 0),
    () => false,
  );
}

function hashOf(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
