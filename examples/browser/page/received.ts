import { describeDevices } from 'multifd';
import { receivedImage } from './received-image.ts';
import type { Received } from './reception.ts';
import type { Shown } from './shown.ts';
import { PageStates } from './states.ts';

/** A memory that was received, or is being. @param name where it comes from. */
export function showReceived(name: string, received: Received): Shown {
  const { plan, blocks, tail } = received;
  const { pageSize } = plan;
  const states = blocks.map(
    (block, index) => new PageStates(block.states, plan.blocks[index]!.usedLength / pageSize),
  );
  const bytes = blocks.map(
    ({ memory }, index) => new Uint8Array(memory.buffer, 0, plan.blocks[index]!.usedLength),
  );
  const devices = tail && describeDevices(tail);
  return {
    kind: 'received',
    name,
    pageSize,
    blocks: plan.blocks.map(({ id, usedLength }, index) => ({
      id,
      usedLength,
      states: states[index]!,
    })),
    ...(tail && { devices: devices ?? 'not described' }),
    read: async (block, offset) => bytes[block]!.slice(offset, offset + pageSize),
    outgoing() {
      // Memory alone can be sent from where it is; a virtual machine is an image, with its devices.
      if (devices?.length === 0)
        return { blocks: plan.blocks.map(({ id }, index) => ({ id, source: bytes[index]! })) };
      return { image: receivedImage(name, plan, bytes, states, tail!) };
    },
  };
}

/** A memory that is still to come. */
export function showNothing(name: string): Shown {
  return {
    kind: 'received',
    name,
    pageSize: 1,
    blocks: [],
    read: async () => new Uint8Array(0),
    outgoing: () => ({ blocks: [] }),
  };
}
