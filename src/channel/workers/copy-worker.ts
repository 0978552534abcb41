import { serveChannel } from '../../engine/program.ts';
import { createCopyChannel } from '../copy.ts';

serveChannel(createCopyChannel);
