import { serveChannel } from '../engine/serve.ts';
import { createSendChannel } from './channel/send-program.ts';
import { openOwn, type SendWorkerData } from './outgoing/channel-links.ts';

serveChannel<SendWorkerData>((context) =>
  createSendChannel(context, openOwn(context.data, context.id)),
);
