import { fdInput } from '#sockets';
import { INITIAL_LENGTH } from '../../core/index.ts';
import { serveChannel } from '../../engine/program.ts';
import { ConnectionInput } from '../../transport/connection-io.ts';
import { connectionOfPort } from '../relay.ts';
import { createReceiveChannel } from '../receive.ts';
import type { ReceiveWorkerData } from '../receive-launcher.ts';

// Either way the accepting thread has read the initial packet, and maybe more.
serveChannel<ReceiveWorkerData>(async (context) => {
  const { id, arena, data } = context;
  const { descriptor } = data;
  if (descriptor !== undefined)
    return createReceiveChannel(context, (onBytes) => fdInput(descriptor, id, arena, onBytes));
  const connection = connectionOfPort(data);
  return createReceiveChannel(
    context,
    (onBytes) => new ConnectionInput(connection, id, data.rest, INITIAL_LENGTH, onBytes),
    () => connection.destroy(), // an open port would keep the thread
  );
});
