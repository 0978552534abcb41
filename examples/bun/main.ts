/**
 * A store in shared memory moves to another process while it is being written to: `bun
 * examples/bun/main.ts`.
 */
import { Guest } from 'multifd';
import { CHANNELS, createMemory, Visits } from './visits.ts';

const target = Bun.spawn([process.execPath, new URL('target.ts', import.meta.url).pathname], {
  stdout: 'pipe',
  stderr: 'inherit',
});
const lines = linesOf(target.stdout);

const memory = createMemory();
const visits = new Visits(memory);
visits.start();
const guest = new Guest({
  blocks: [{ id: 'store', memory }],
  stop: () => visits.stop(),
  resume: () => visits.start(),
});
const { downtime, ram } = await guest.migrate({ uri: await next(), channels: CHANNELS });
console.log(
  `moved in ${ram['dirty-sync-count']} rounds, ${ram.normal} pages; stood still for ` +
    `${downtime!.toFixed(1)} ms after ${visits.total} visits of ${visits.store.size - 1} ` +
    'visitors',
);
console.log(await next());
console.log(await next());
process.exitCode = await target.exited;

async function next(): Promise<string> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error('the other process has ended');
  return value;
}

async function* linesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const pieces = (rest + text).split('\n');
    rest = pieces.pop()!;
    yield* pieces;
  }
  return undefined;
}
