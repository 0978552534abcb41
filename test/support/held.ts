import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';

/**
 * What this process holds that work could leave behind: sockets, servers, workers, and on Linux
 * open descriptors.
 */
export function held(): string {
  const counted = /Socket|Server|Pipe|TCP|Worker|MessagePort/;
  const kinds = process.getActiveResourcesInfo().filter((kind) => counted.test(kind));
  const descriptors = process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
  return `${kinds.sort().join(' ')}; ${descriptors} descriptors`;
}

const TURNS = 20_000;

/** Whether all of `after` was there before: what work before it had left may have gone meanwhile. */
export function isWithin(after: string, before: string): boolean {
  const parts = (held: string): { kinds: string[]; descriptors: number } => {
    const [kinds, descriptors] = held.split('; ');
    return { kinds: kinds!.split(' '), descriptors: Number.parseInt(descriptors!, 10) };
  };
  const was = parts(before);
  const is = parts(after);
  const more = is.kinds.some((kind) => {
    const at = was.kinds.indexOf(kind);
    if (at >= 0) was.kinds.splice(at, 1);
    return at < 0 && kind !== '';
  });
  return !more && is.descriptors <= was.descriptors;
}

/**
 * What is held once it is within `before` again, or after some turns of the event loop for what is
 * on its way out.
 */
export async function heldInTheEnd(before: string): Promise<string> {
  for (let turns = 0; !isWithin(held(), before) && turns < TURNS; turns++) await turn();
  return held();
}
