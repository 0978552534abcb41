import { serveChannel } from '../engine/serve.ts';
import { createSendChannel } from './channel/send-program.ts';

serveChannel(createSendChannel);
