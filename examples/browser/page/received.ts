import { PAGE_SIZE, type ReceivedBlock } from './reception.ts';
import type { Shown } from './shown.ts';
import { PageStates } from './states.ts';

/** A memory that was received, or is being. */
export function showReceived(name: string, received: readonly ReceivedBlock[]): Shown {
  const blocks = received.map(({ id, usedLength, states }) => ({ id, usedLength, states: new PageStates(states, usedLength / PAGE_SIZE) }));
  const view = (block: number, offset: number, length: number): Uint8Array<ArrayBufferLike> => {
    const { memory, usedLength } = received[block]!;
    // Memory that has been grown by another thread can be as short as before in this one, until it is asked to grow here.
    if (memory.buffer.byteLength < usedLength) memory.grow(0);
    return new Uint8Array(memory.buffer, offset, length);
  };
  return {
    kind: 'received',
    name,
    pageSize: PAGE_SIZE,
    blocks,
    read: async (block, offset) => view(block, offset, PAGE_SIZE).slice(),
    outgoing: () => ({ blocks: received.map(({ id, usedLength }, block) => ({ id, source: view(block, 0, usedLength) })) }),
  };
}
