/** The process that has the guest afterwards. */
import { receive } from 'multifd';
import { CHANNELS, Crew } from './crew.ts';

const crew = await Crew.hire(Number(process.argv[2]));
const incoming = await receive({
  uri: 'tcp:127.0.0.1:0',
  channels: CHANNELS,
  blocks: { ram: crew.memory },
  start() {
    const arrived = crew.passes;
    process.send!({ arrived, wrong: crew.wrong });
    crew.start();
  },
});
process.send!({ uri: incoming.uri });
await incoming.completed;

// Until every thread has been through all its pages once more.
const arrived = crew.passes;
while (crew.passes.some((pass, thread) => pass < arrived[thread]! + 2)) await new Promise((resolve) => setTimeout(resolve, 10));
await crew.rest();
process.send!({ passes: crew.passes, wrong: crew.wrong });
await crew.leave();
process.disconnect();
