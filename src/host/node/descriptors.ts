import type { Arena } from '../../engine/arena.ts';
import type { Input } from '../../transport/input.ts';
import type { Link } from '../../transport/link.ts';
import type { Descriptor } from '../../transport/node/descriptor.ts';
import { DescriptorInput } from '../../transport/node/descriptor-input.ts';
import { DescriptorOutput } from '../../transport/node/descriptor-output.ts';
import { SocketLink } from '../../transport/node/socket-link.ts';
import type { Output } from '../../transport/output.ts';

/** Connections by their descriptors, in threads that may block. */

/** Reads one. */
export function openDescriptor(
  descriptor: Descriptor,
  channel: number,
  arena: Arena,
  onBytes: (bytes: number) => void,
): Input {
  return new DescriptorInput(
    descriptor,
    channel,
    arena.running,
    (milliseconds) => arena.sleepWhileRunning(milliseconds),
    onBytes,
  );
}

/** Writes this thread's own one; undefined where it has none to use. */
export function descriptorOutput(
  link: Link,
  channel: number,
  arena: Arena,
  onBytes: (bytes: number) => void,
): Output | undefined {
  const fd = link instanceof SocketLink ? link.writableDescriptor : undefined;
  return fd === undefined
    ? undefined
    : new DescriptorOutput(
        link,
        fd,
        channel,
        arena.unfailed,
        (milliseconds) => arena.sleepWhileRunning(milliseconds),
        onBytes,
      );
}
