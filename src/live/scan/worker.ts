import { threadPort } from '#threads';
import { instantiateCoreSync } from '../../core/index.ts';
import { Arena } from '../../engine/arena.ts';
import { Client } from '../../engine/client.ts';
import { MultifdError } from '../../util/errors.ts';
import { bytesOf } from '../../migration/statistics.ts';
import { Bandwidth } from '../../migration/outgoing/bandwidth.ts';
import { GuestMemory, unposted } from '../guest-memory.ts';
import { createTracker } from '../tracking/tracker.ts';
import { hashArenaBytes } from '../tracking/hash.ts';
import { Batches, capacityOf } from './batches.ts';
import type { ScanEvent, ScanOrder, ScanStart } from './messages.ts';
import { pass, type TrackedBlock } from './pass.ts';

/**
 * A thread of its own that scans shared memory for changes, in place, while the guest's threads
 * work.
 */
const port = threadPort()!;
const report = (event: ScanEvent): void => port.post(event);
const fail = (thrown: unknown): void =>
  report({ kind: 'failed', error: MultifdError.from(thrown).toRecord() });

/** @returns what does the orders that follow. */
function begin(start: ScanStart): (order: ScanOrder) => Promise<void> {
  const arena = new Arena(start.arena);
  const { pageSize } = start;
  const core = instantiateCoreSync(arena.handle.memory, start.modules.shared!);
  const gone = new AbortController();
  const bandwidth = new Bandwidth(start.maxBandwidth, gone.signal);
  const hand = (client: Client): boolean => client.send();
  const counters = arena.channels.map((channel) => channel.counters);
  const client = (index: number): Client => Client.attach({ arena: start.arena, index });
  const capacity = capacityOf(pageSize, bandwidth);
  const normal = new Batches(
    client(start.clients[0]),
    capacity,
    { staged: true, detect: true },
    hand,
  );
  const zero = new Batches(client(start.clients[1]), capacity, { zero: true }, hand);
  const blocks: TrackedBlock[] = start.blocks.map(({ index, memory, kept, scratch }, n) => {
    const guest = new GuestMemory(unposted(memory), start.modules);
    const address = start.hashAddress + n * hashArenaBytes(pageSize);
    return {
      index,
      memory: guest,
      tracker: createTracker(kept, guest, pageSize, scratch, {
        core,
        buffer: arena.buffer,
        address,
      }),
    };
  });

  return async (order) => {
    if (order.kind === 'end') {
      report({ kind: 'ended', kept: start.blocks.map(({ kept }) => kept) });
      gone.abort();
      port.close();
      return;
    }
    const begun = performance.now();
    let waited = 0;
    const count = await pass({
      blocks,
      extents: order.extents,
      pageSize,
      normal,
      zero,
      slices: undefined,
      allow() {
        const wait = order.limited ? bandwidth.wait(bytesOf(counters)) : undefined;
        const since = performance.now();
        return wait?.then(() => void (waited += performance.now() - since));
      },
      alive: arena.running,
      onScanned() {},
      part: start.part,
      parts: start.parts,
    });
    report({ kind: 'passed', count, active: performance.now() - begun - waited });
  };
}

let obey: ((order: ScanOrder) => Promise<void>) | undefined;
port.onMessage((message) => {
  if (obey !== undefined) return void obey(message as ScanOrder).catch(fail);
  try {
    obey = begin(message as ScanStart);
  } catch (thrown) {
    fail(thrown);
    port.close();
  }
});
