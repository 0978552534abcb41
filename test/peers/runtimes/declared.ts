import { CAPABILITIES, type Capability } from '../conformance/capabilities.ts';
import type { Runtime } from './locate.ts';

/** Where the suite runs: the runtimes, and a page that shares no memory with its workers. */
export type Place = Runtime | 'page without isolation';

/** What each place lacks, all else it has. The suite asserts both. */
const LACKING: Record<Place, readonly Capability[]> = {
  node20: [],
  node24: [],
  node26: [],
  deno: [],
  bun: [],
  workerd: [
    'workers',
    'blockingWait',
    'tcp',
    'tls',
    'unix',
    'webSocketListen',
    'httpListen',
    'httpTarget',
    'files',
    'zstd',
  ],
  chromium: [
    'blockingWait',
    'tcp',
    'tls',
    'unix',
    'webSocketListen',
    'http',
    'httpListen',
    'httpTarget',
    'files',
  ],
  'page without isolation': [
    'sharedMemory',
    'workers',
    'blockingWait',
    'tcp',
    'tls',
    'unix',
    'webSocketListen',
    'http',
    'httpListen',
    'httpTarget',
    'files',
    'zstd',
  ],
};

export function capabilitiesOf(place: Place): Capability[] {
  return (Object.keys(CAPABILITIES) as Capability[]).filter(
    (capability) => !LACKING[place].includes(capability),
  );
}
