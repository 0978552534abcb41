import type { IncomingOptions, OutgoingOptions } from 'multifd';
import type { Capability, Io } from '../../conformance/capabilities.ts';
import { REACTOR_BYTES } from '../../conformance/reactor.ts';
import { conformance, type Result } from '../../conformance/suite.ts';
import { runSource, runTarget } from './memory-ends.ts';

/** What a test calls in a page. */
const api = {
  async conformance(
    can: Capability[],
    addresses: Pick<Io, 'meeting' | 'httpTarget'>,
  ): Promise<Result[]> {
    const results: Result[] = [];
    const io: Io = {
      channelModule: new URL('channel.js', import.meta.url),
      reactor: await WebAssembly.compile(REACTOR_BYTES),
      ...addresses,
    };
    for await (const result of conformance(new Set(can), io)) results.push(result);
    return results;
  },
  source: (options: Omit<OutgoingOptions, 'blocks'>) => runSource(options),
  target: (options: Omit<IncomingOptions, 'blocks'>) => runTarget(options),
};

export type PageApi = typeof api;

Object.assign(globalThis, { api });
