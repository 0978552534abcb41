/** The process that a RAM comes to. */
import { once } from 'node:events';
import { receive } from 'multifd';
import { allocate, type MoveOrder, type TargetWord } from './order.ts';
import { isRam } from './ram-file.ts';
import { receivePlainly } from './stream.ts';

const [order] = (await once(process, 'message')) as [MoveOrder];
const { by, ramFile, channels, compression } = order;
const { memory, ram } = allocate(order);
const incoming =
  by === 'multifd'
    ? await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { 'pc.ram': memory! },
        zeroed: true,
        channels,
        compression,
      })
    : await receivePlainly(ram, by === 'gzip');
say({ kind: 'listening', uri: incoming.uri });
await Promise.all([once(process, 'message'), incoming.completed]);
say({ kind: 'compared', same: isRam(ramFile, ram) });

function say(word: TargetWord): void {
  process.send!(word);
}
