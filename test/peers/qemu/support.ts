import { mkdtemp, rm } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { placeForQemu } from '../../support/temporary.ts';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that is gone after the test. */
export async function testFolder(): Promise<string> {
  const folder = await mkdtemp(join(placeForQemu(), 'multifd-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Where QEMU is to migrate to, or to listen, in one of its two forms. */
export function address(uri: string, asList: boolean): object {
  if (!asList) return { uri };
  const parts = /^tcp:\[?(.*?)\]?:(\d+)$/.exec(uri);
  const socket =
    parts === null
      ? { type: 'unix', path: uri.slice('unix:'.length) }
      : { type: 'inet', host: parts[1]!, port: parts[2]!, ipv6: isIPv6(parts[1]!) };
  return { channels: [{ 'channel-type': 'main', addr: { transport: 'socket', ...socket } }] };
}
