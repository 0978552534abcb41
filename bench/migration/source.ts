/** The process that a RAM leaves. */
import { once } from 'node:events';
import { send } from 'multifd';
import { allocate, type MoveOrder, type SourceWord } from './order.ts';
import { readRam } from './ram-file.ts';
import { sendPlainly } from './stream.ts';

const [{ order, uri }] = (await once(process, 'message')) as [{ order: MoveOrder; uri: string }];
const { by, ramFile, channels, compression } = order;
const { memory, ram } = allocate(order);
readRam(ramFile, ram);
say({ kind: 'ready' });
await once(process, 'message');
const begun = performance.now();
if (by === 'multifd')
  await send({ uri, blocks: [{ id: 'pc.ram', source: memory! }], channels, compression });
else await sendPlainly(uri, ram, by === 'gzip');
say({ kind: 'moved', seconds: (performance.now() - begun) / 1000 });

function say(word: SourceWord): void {
  process.send!(word);
}
