/**
 * Measures one contender once; its argument is an EngineOrder, a Sample goes to standard output.
 */
import type { Sample } from '../lib/part.ts';
import { measureEngine, measureEngineAsync } from './by-engine.ts';
import { measurePiscina } from './by-piscina.ts';
import { measurePostMessage } from './by-post-message.ts';
import { measureRing } from './by-ring.ts';
import type { EngineOrder } from './order.ts';

const BY: Record<EngineOrder['by'], (order: EngineOrder) => Promise<Sample>> = {
  engine: measureEngine,
  'engine, async': measureEngineAsync,
  postMessage: measurePostMessage,
  piscina: measurePiscina,
  ring: measureRing,
};

const order = JSON.parse(process.argv[2]!) as EngineOrder;
console.log(JSON.stringify(await BY[order.by](order)));
