import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import type { Sample } from '../lib/part.ts';
import { endProcess, runProgram, startProgram, usageOf } from '../lib/process.ts';
import { GIB } from './order.ts';

interface Report {
  end: { sum_received: { bytes: number; seconds: number } };
}

/** What the loopback can carry on so many connections, without anything that makes sense of it. */
export async function moveByIperf(
  iperf3: string,
  bytes: number,
  channels: number,
): Promise<Sample> {
  const port = await freePort();
  const server = startProgram(iperf3, ['-s', '-1', '-p', `${port}`, '--forceflush']);
  try {
    await once(server.stdout!, 'data'); // it says that it listens
    const before = usageOf(server.pid!);
    let after = before;
    const looking = setInterval(() => (after = usageOf(server.pid!) ?? after), 5);
    const { stdout, usage } = await runProgram(iperf3, [
      '-c',
      '127.0.0.1',
      '-p',
      `${port}`,
      '-P',
      `${channels}`,
      '-n',
      `${bytes}`,
      '-l',
      '512K',
      '-J',
    ]);
    clearInterval(looking);
    const { bytes: moved, seconds } = (JSON.parse(stdout) as Report).end.sum_received;
    return {
      'GiB/s': moved / GIB / seconds,
      'CPU s/GiB': ((usage.cpu + (after?.cpu ?? 0) - (before?.cpu ?? 0)) * GIB) / moved,
    };
  } finally {
    await endProcess(server);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
