import type { Arena } from '../../engine/arena.ts';
import type { Input } from '../../transport/input.ts';
import type { Descriptor } from '../../transport/node/descriptor.ts';
import { DescriptorInput } from '../../transport/node/descriptor-input.ts';

/** Reads a connection by its descriptor, in a thread that may block. */
export function openDescriptor(descriptor: Descriptor, channel: number, arena: Arena, onBytes: (bytes: number) => void): Input {
  return new DescriptorInput(descriptor, channel, arena.running, (milliseconds) => arena.sleepWhileRunning(milliseconds), onBytes);
}
