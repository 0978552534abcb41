import { serveChannel } from '../../engine/serve.ts';
import { createCopyChannel } from '../copy.ts';

serveChannel(createCopyChannel);
