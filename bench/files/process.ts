/** A process that saves its RAM to an image, or loads it from one. */
import { once } from 'node:events';
import { receive, send } from 'multifd';
import { allocate } from '../migration/order.ts';
import { isRam, readRam } from '../migration/ram-file.ts';
import type { FileOrder, FileWord } from './order.ts';

const [order] = (await once(process, 'message')) as [FileOrder];
const { what, ramFile, image, bytes, channels } = order;
const { memory, ram } = allocate({ by: 'multifd', bytes });
if (what === 'save') readRam(ramFile, ram);
say({ kind: 'ready' });
await once(process, 'message');
const begun = performance.now();
if (what === 'save')
  await send({ uri: `file:${image}`, blocks: [{ id: 'pc.ram', source: memory! }], channels });
else
  await (
    await receive({ uri: `file:${image}`, blocks: { 'pc.ram': memory! }, zeroed: true, channels })
  ).completed;
say({ kind: 'done', seconds: (performance.now() - begun) / 1000 });
await once(process, 'message');
say({ kind: 'compared', same: isRam(ramFile, ram) });

function say(word: FileWord): void {
  process.send!(word);
}
