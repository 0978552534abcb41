import { isIPv6 } from 'node:net';

/** The part of `query-migrate` that tells how a target's listening socket is called. */
interface Listening {
  'socket-address'?: Array<{ type: string; host?: string; port?: string; path?: string }>;
}

/** The URI of a QEMU that listens at a port the kernel chose. */
export function listeningUri(answer: unknown): string {
  const found = (answer as Listening)['socket-address']?.[0];
  if (found === undefined) throw new Error('QEMU does not say where it listens');
  if (found.type === 'unix') return `unix:${found.path}`;
  return `tcp:${isIPv6(found.host!) ? `[${found.host}]` : found.host}:${found.port}`;
}
