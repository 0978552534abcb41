import { serveChannel } from '../engine/serve.ts';
import { createCopyChannel } from './channel/copy-program.ts';

serveChannel(createCopyChannel);
