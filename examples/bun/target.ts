/** The process that has the store afterwards; `main.ts` starts it. */
import { receive } from 'multifd';
import { CHANNELS, createMemory, Visits } from './visits.ts';

const memory = createMemory();
const visits = new Visits(memory);
let arrived = 0;
const incoming = await receive({
  uri: 'tcp:127.0.0.1:0',
  channels: CHANNELS,
  blocks: { store: memory },
  start() {
    arrived = visits.total;
    console.log(
      `${arrived} visits have come, and ` +
        `${visits.complete ? 'all of them are' : 'NOT all of them are'} in the store`,
    );
    visits.start();
  },
});
console.log(incoming.uri);
await incoming.completed;

while (visits.total < arrived + 10_000) await new Promise((resolve) => setImmediate(resolve));
visits.stop();
console.log(
  '10000 more have been counted here, and ' +
    `${visits.complete ? 'all of them are' : 'NOT all of them are'} in the store`,
);
