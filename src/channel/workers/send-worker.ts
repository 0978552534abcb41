import { serveChannel } from '../../engine/program.ts';
import { createSendChannel } from '../send.ts';
import { openOwn, type SendWorkerData } from '../send-launcher.ts';

serveChannel<SendWorkerData>((context) =>
  createSendChannel(context, openOwn(context.data, context.id)),
);
