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

/**
 * What is held once it is `before` again, or after some turns of the event loop for what is on its
 * way out.
 */
export async function heldInTheEnd(before: string): Promise<string> {
  for (let turns = 0; held() !== before && turns < TURNS; turns++) await turn();
  return held();
}
