import type { IncomingOptions, OutgoingOptions } from 'multifd';
import type { Capability, Io } from '../../conformance/capabilities.ts';
import { opfsCases } from '../../conformance/opfs-cases.ts';
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
  opfs: () => opfsCases(),
  opfsInWorker: () => inWorker(new URL('opfs-worker.js', import.meta.url)),
  source: (options: Omit<OutgoingOptions, 'blocks'>) => runSource(options),
  target: (options: Omit<IncomingOptions, 'blocks'>) => runTarget(options),
};

/** What the worker's cases come to. */
function inWorker(url: URL): Promise<string[]> {
  const worker = new Worker(url, { type: 'module' });
  return new Promise<string[]>((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.onmessage = ({ data }: MessageEvent<{ tried?: string[]; failed?: string }>) => {
      if (data.tried === undefined) reject(new Error(data.failed));
      else resolve(data.tried);
    };
    worker.postMessage('begin');
  }).finally(() => worker.terminate());
}

export type PageApi = typeof api;

Object.assign(globalThis, { api });
