/**
 * A process of its own that updates an image, and is killed before its operation number `killAt`, a
 * write half done. Bundled and started by a test.
 */
import { readFileSync, writeSync } from 'node:fs';
import { ImageUpdate, type Stamp } from '../../../src/image/index.ts';
import { watchOperations } from '../../support/file-operations.ts';

export interface Job {
  path: string;
  /** As text, for JSON. */
  stamp: Record<keyof Stamp, string>;
  machine: string;
  pageSize: number;
  blocks: Array<{ id: string; usedLength: number }>;
  /** Where bytes go in the sidecar; base64. */
  pages: Array<{ block: number; offset: number; bytes: string }>;
  changed: string[];
  bitmaps: string[];
  tail: string;
}

const [jobPath, killAt] = process.argv.slice(2);
const job = JSON.parse(readFileSync(jobPath!, 'utf8')) as Job;
const stamp = Object.fromEntries(
  Object.entries(job.stamp).map(([key, value]) => [key, BigInt(value)]),
) as unknown as Stamp;
const update = await ImageUpdate.open(job.path, {
  stamp,
  configuration: { machine: job.machine, capabilities: [] },
  blocks: job.blocks,
  pageSize: job.pageSize,
});
if (update === undefined) throw new Error('the image can not be updated');
for (const { block, offset, bytes } of job.pages) {
  writeSync(
    update.fd,
    Buffer.from(bytes, 'base64'),
    0,
    null,
    update.plan.blocks[block]!.pagesOffset + offset,
  );
}
let count = 0;
await watchOperations(({ half }) => {
  if (++count !== Number(killAt)) return;
  half();
  process.kill(process.pid, 'SIGKILL');
});
const decoded = (texts: readonly string[]): Uint8Array[] =>
  texts.map((text) => Buffer.from(text, 'base64'));
await update.commit({
  changed: decoded(job.changed),
  bitmaps: decoded(job.bitmaps),
  tail: Buffer.from(job.tail, 'base64'),
});
