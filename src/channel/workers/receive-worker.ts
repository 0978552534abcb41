import { openDescriptor } from '#sockets';
import { INITIAL_LENGTH } from '../../core/index.ts';
import { serveChannel } from '../../engine/serve.ts';
import { LinkInput } from '../../transport/connection-input.ts';
import { linkOfPort } from '../relay.ts';
import { createReceiveChannel } from '../receive.ts';
import type { ReceiveWorkerData } from '../receive-launcher.ts';

// Either way the accepting thread has read the initial packet, and maybe more.
serveChannel<ReceiveWorkerData>(async (context) => {
  const { id, arena, data } = context;
  const { descriptor } = data;
  if (descriptor !== undefined)
    return createReceiveChannel(context, (onBytes) =>
      openDescriptor(descriptor, id, arena, onBytes),
    );
  const link = linkOfPort(data);
  const program = await createReceiveChannel(
    context,
    (onBytes) => new LinkInput(link, id, data.rest, INITIAL_LENGTH, onBytes),
  );
  return {
    ...program,
    async close(failed) {
      await program.close(failed);
      link.destroy(); // an open port would keep the thread
    },
  };
});
