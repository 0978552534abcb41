/**
 * Serves the page, and is the other end of its migrations: `npm run example:browser -- [--port N]
 * [--no-isolation] [--folder FOLDER] [IMAGE ...]`.
 *
 * Only this machine can reach it.
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isImage } from 'multifd';
import { Ends } from './server/ends.ts';
import type { Mount } from './server/files.ts';
import { type Answer, servePage } from './server/page-server.ts';

const MOUNTS: readonly Mount[] = [
  { prefix: '/multifd/', folder: new URL('../browser/', import.meta.url) },
  { prefix: '/', folder: new URL('browser/', import.meta.url) },
];

const { values, positionals: images } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string', default: '8080' },
    'no-isolation': { type: 'boolean', default: false },
    folder: { type: 'string' },
  },
});

for (const image of images)
  if (!(await isImage(image))) throw new Error(`${image} is no mapped-ram image`);
const folder = values.folder ?? (await mkdtemp(join(tmpdir(), 'multifd-page-')));
const ends = new Ends(images, folder);
const server = await servePage({
  port: Number(values.port),
  mounts: MOUNTS,
  isolated: !values['no-isolation'],
  get: (path) => (path === '/sources' ? { status: 200, content: ends.sources } : undefined),
  post: startEnd,
});
console.log(server.url);
console.log(`images that the page sends go into ${folder}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    void ends.close();
  });
}

async function startEnd(path: string): Promise<Answer> {
  if (ends.full)
    return {
      status: 503,
      content:
        'too many migrations are waiting or at work; cancel some, or wait for their time-outs',
    };
  const end =
    path === '/targets' ? await ends.target() : await ends.source(path.slice('/sources/'.length));
  return end === undefined
    ? { status: 404, content: 'there is no such source' }
    : { status: 200, content: end };
}
