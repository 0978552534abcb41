import { ConnectionQueue, receive, send } from 'multifd';

const FILLED = { from: 100_000, to: 3_000_000 };

/** Moves what `make` gives over MessagePorts, by each method of compression; a line about each. */
export async function moveAll(methods, make) {
  const said = [];
  for (const compression of methods) {
    const line = await move(compression, make(), make()).catch(({ code, message }) => `${code}: ${message}`);
    said.push(`${compression} ${line}`);
  }
  return said;
}

async function move(compression, source, target) {
  bytesOf(source).fill(9, FILLED.from, FILLED.to);
  const inbox = new ConnectionQueue();
  const common = { channels: 2, compression, timeout: 20_000 };
  const incoming = await receive({ ...common, inbox, blocks: { heap: target } });
  const connect = () => {
    const { port1, port2 } = new MessageChannel();
    void inbox.add(port1);
    return port2;
  };
  await send({ ...common, connect, blocks: [{ id: 'heap', source }] });
  await incoming.completed;
  inbox.close();
  const [before, first, last, behind] = [FILLED.from - 1, FILLED.from, FILLED.to - 1, FILLED.to];
  const found = [before, first, last, behind].map((at) => bytesOf(target)[at]);
  return found.join() === '0,9,9,0' ? 'moved' : `lost: ${found.join()}`;
}

const bytesOf = (memory) => new Uint8Array(memory.buffer ?? memory);
