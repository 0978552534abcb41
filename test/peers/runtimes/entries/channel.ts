import { serveChannel } from 'multifd/engine';
import { createProgram } from '../../conformance/channel-program.ts';

/** A channel's worker module. */
serveChannel(createProgram);
