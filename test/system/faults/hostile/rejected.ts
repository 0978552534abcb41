import { connect, type Socket } from 'node:net';
import { proxy, receive, send } from 'multifd';
import type { Random } from '../../../support/random.ts';
import { messages } from '../../../support/recording.ts';
import { Source, Wire } from '../../../support/peer.ts';
import { be32, command, concat, header, initialPacket, text } from '../../../support/wire.ts';
import { someMemory } from '../bases.ts';
import { junkText, mutated } from '../mutate.ts';
import { demand, ending, sameBytes } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

type Kind = 'tcp' | 'unix' | 'ws' | 'http';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

/** A request's head: right, or with something wrong in it. */
function head(random: Random, host: string): Uint8Array {
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', KEY, 'Sec-WebSocket-Version: 13'];
  const lines = random.pick<() => string[]>([
    () => ['GET / HTTP/1.1', `Host: ${host}`, ...upgrade],
    () => ['GET / HTTP/1.1', `Host: ${host}`, ...upgrade, 'Sec-WebSocket-Protocol: , ,,'],
    () => ['GET / HTTP/1.1', `Host: ${host}`, ...upgrade.slice(0, 3), 'Sec-WebSocket-Version: 99'],
    () => ['GET / HTTP/1.1', `Host: ${host}`, ...upgrade.slice(0, 2), 'Sec-WebSocket-Key: x'],
    () => ['GET / HTTP/1.1', ...upgrade, 'Sec-WebSocket-Extensions: permessage-deflate;;=x'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Transfer-Encoding: chunked'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Content-Length: 10'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Content-Length: -1'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Content-Length: 1', 'Transfer-Encoding: chunked'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Expect: 100-continue', 'Content-Length: 99'],
    () => ['POST / HTTP/1.1', `Host: ${host}`, 'Content-Encoding: gzip', 'Content-Length: 9'],
    () => ['DELETE /x HTTP/1.1', `Host: ${host}`, `Authorization: Bearer ${junkText(random)}`],
    () => ['GET / HTTP/1.1', `Host: ${host}`, `X: ${'x'.repeat(random.pick([100, 90_000]))}`],
    () => ['GET http://[/ HTTP/1.1', `Host: ${host}`, ...upgrade],
    () => ['CONNECT a:1 HTTP/1.1', `Host: ${host}`],
    () => ['PRI * HTTP/2.0'],
    () => [junkText(random), junkText(random)],
  ])();
  const bytes = text(`${lines.join('\r\n')}\r\n\r\n`);
  return random.chance(0.3) ? mutated(random, bytes) : bytes;
}

/** WebSocket frames that are none, or come where none may. */
function frame(random: Random): Uint8Array {
  const opcode = random.pick([0, 1, 2, 2, 3, 7, 8, 9, 10, 11, 15]);
  const first = opcode | random.pick([0x80, 0x80, 0, 0xc0, 0xf0]);
  const masked = random.chance(0.8) ? 0x80 : 0;
  const length = random.pick([0, 1, 4, 125, 126, 127]);
  const content = random.bytes(random.below(200));
  const lengths = length < 126 ? concat() : random.bytes(length === 126 ? 2 : 8);
  const mask = masked > 0 ? random.bytes(4) : concat();
  return concat(Uint8Array.of(first, masked | length), lengths, mask, content);
}

/** What comes right behind the head. */
function body(random: Random): Uint8Array {
  return random.pick<() => Uint8Array>([
    () => concat(),
    () => concat(...Array.from({ length: 1 + random.below(5) }, () => frame(random))),
    () => text('5\r\nhello\r\nffffffffffffffff\r\n'),
    () => text('4;x=y\r\n\x11\x22\x33\x44\r\n0\r\n\r\n'),
    () => random.bytes(random.below(300)),
  ])();
}

/** First bytes of a connection that are not a migration's. */
function noise(random: Random): Uint8Array {
  return random.pick<() => Uint8Array>([
    () => concat(),
    () => text('GET / HTTP/1.0\r\n\r\n'),
    () => random.bytes(random.below(3)),
    () => concat(be32(random.word() | 0x80000000), random.bytes(random.below(100))),
    () => text('QEV'),
    () => concat(be32(0x11223344), random.bytes(random.below(59))),
  ])();
}

/** Comes, says something wrong, and goes or stays. */
async function unwanted(random: Random, kind: Kind, uri: string): Promise<Socket | undefined> {
  const [, host, port] = /^\w+:(?:\/\/)?([^:/]+):(\d+)/.exec(uri) ?? [];
  const place = kind === 'unix' ? { path: uri.slice(5) } : { host: host!, port: Number(port) };
  const socket = connect(place)
    .on('error', () => {})
    .resume();
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  const web = kind === 'ws' || kind === 'http';
  const words = web ? concat(head(random, `${host}:${port}`), body(random)) : noise(random);
  socket.write(words);
  if (random.chance(0.3)) return socket;
  if (random.chance(0.5)) socket.end();
  else socket.destroySoon();
  return undefined;
}

function uriFor(kind: Kind, folder: string): string {
  if (kind === 'unix') return `unix:${folder}/s`;
  return kind === 'tcp' ? 'tcp:127.0.0.1:0' : `${kind}://127.0.0.1:0/`;
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const kind = random.pick<Kind>(['tcp', 'unix', 'ws', 'http']);
  // A source's listener takes whoever it lets in: there has to be a token.
  const web = kind === 'ws' || kind === 'http';
  const where = random.pick(['target', 'proxy', web ? 'source' : 'late']);
  if (where === 'late') return comeLate(random, uriFor(kind, folder), note);
  const shown = where === 'source' || random.chance(0.3);
  const token = shown ? { token: 'what-the-rejected-do-not-have' } : {};
  const count = 1 + random.below(6);
  note(`${count} connections to reject by ${kind}: ${where}`);
  const content = someMemory(random, 10);
  input(content.length);
  const memory = new Uint8Array(content.length);
  const stays: Array<Socket | undefined> = [];
  const visit = async (uri: string): Promise<void> => {
    for (let n = 0; n < count; n++) stays.push(await unwanted(random, kind, uri));
  };
  const common = { inline: true, timeout: 10_000, channels: 2, ...token };
  const into = { ...common, blocks: { ram: memory } };
  const blocks = [{ id: 'ram', source: content }];
  const uri = uriFor(kind, folder);
  try {
    if (where === 'source') {
      let listening = (_uri: string): void => {};
      const at = new Promise<string>((resolve) => (listening = resolve));
      const onListening = listening;
      const sending = ending(send({ ...common, uri, listen: true, onListening, blocks }));
      sending.catch(() => {});
      await visit(await at);
      const { error } = await ending(async () => {
        const incoming = await receive({ ...into, uri: await at, connect: true });
        return incoming.completed;
      });
      const sent = await sending;
      demand(!error && !sent.error, 'outcome', `${sent.error?.message}; ${error?.message}`);
    } else if (where === 'proxy') {
      const incoming = await receive({ ...into, uri: `unix:${folder}/t` });
      const completed = ending(incoming.completed);
      completed.catch(() => {});
      const joining = await proxy({ from: uri, to: incoming.uri, ...token, timeout: 10_000 });
      await visit(joining.uri);
      const { error } = await ending(send({ ...common, uri: joining.uri, blocks }));
      demand(error === undefined, 'outcome', `the source: ${error?.message}`);
      demand((await completed).error === undefined, 'outcome', 'the target failed');
      await joining.close();
    } else {
      const incoming = await receive({ ...into, uri });
      const completed = ending(incoming.completed);
      completed.catch(() => {});
      await visit(incoming.uri);
      const { error } = await ending(send({ ...common, uri: incoming.uri, blocks }));
      demand(error === undefined, 'outcome', `the source: ${error?.message}`);
      demand((await completed).error === undefined, 'outcome', 'the target failed');
    }
  } finally {
    const closed = stays
      .filter((socket) => socket?.closed === false)
      .map((socket) => new Promise((resolve) => socket!.once('close', resolve)));
    for (const socket of stays) socket?.destroy();
    await Promise.all(closed);
  }
  sameBytes(memory, content, 'the memory');
}

/** Connections that say what a migration's say, once all of those are there. */
async function comeLate(random: Random, uri: string, note: (what: string) => void): Promise<void> {
  const { main, channels } = messages();
  const memory = new Uint8Array(16 * 4096);
  const options = { channels: 2, inline: true, timeout: 10_000 };
  const incoming = await receive({ ...options, uri, blocks: { ram: memory } });
  const completed = ending(incoming.completed);
  completed.catch(() => {});
  const source = await Source.connect(incoming.uri, 2);
  const late: Wire[] = [];
  try {
    source.main.put(...main.slice(0, 5), command(2, be32(7)));
    channels.forEach((parts, id) => source.channels[id]!.put(parts[1]!));
    await source.main.take(8); // the answer to the ping, which is behind the first sync
    for (let left = 1 + random.below(3); left > 0; left--) {
      const wire = await Wire.open(incoming.uri);
      // (An id beyond those agreed on is what a source with more channels has.)
      const words = random.pick([text('QEVM'), initialPacket(0), initialPacket(1), header('none')]);
      wire.ignore();
      wire.put(words);
      late.push(wire);
      note(`late: ${Buffer.from(words.subarray(0, 8)).toString('hex')}`);
    }
    source.main.put(...main.slice(5));
    channels.forEach((parts, id) => source.channels[id]!.put(...parts.slice(2)));
    source.main.ignore();
    const { error } = await completed;
    demand(error === undefined, 'outcome', `ended by a rejected connection: ${error?.message}`);
  } finally {
    for (const wire of late) wire.destroy();
    await Promise.all(late.map(({ closed }) => closed));
    await source.close();
    await completed;
  }
}

export const rejectedPart: Part = {
  name: 'rejected',
  what: 'listeners of all kinds: requests, upgrades and frames that are none, and then a migration',
  executions: { whole: 3_000, short: 25 },
  run,
};
