/**
 * Serves the page, and is the other end of its migrations: `npm run example:browser -- [IMAGE ...]`;
 * `--help` tells its options.
 *
 * Only this machine can reach it.
 */
import { mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MultifdError, openImage } from 'multifd';
import { runServer, serverCommand } from './server/command.ts';
import { Ends } from './server/ends.ts';
import type { Mount } from './server/files.ts';
import { type Answer, servePage } from './server/page-server.ts';

const MOUNTS: readonly Mount[] = [
  { prefix: '/multifd/', folder: new URL('../browser/', import.meta.url) },
  { prefix: '/', folder: new URL('browser/', import.meta.url) },
];

interface Options {
  port: number;
  isolation: boolean;
  folder?: string;
}

await runServer(
  serverCommand('browser-server', 'Serves the page, and is the other end of its migrations.')
    .argument('[images...]', 'mapped-ram images that the page can ask for')
    .option('--no-isolation', 'serve a page that may not share memory with its workers')
    .option(
      '--folder <folder>',
      'where images go that the page sends (default: a new temporary folder)',
    )
    .action(serve),
);

async function serve(images: readonly string[], options: Options): Promise<void> {
  // Says of what is no image what it is.
  for (const image of images) await (await openImage(image)).close();
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'multifd-page-')));
  if (!(await isFolder(folder)))
    throw new MultifdError('ERR_IO', `${folder} is no folder: --folder needs one`);
  const ends = new Ends(images, folder);
  const server = await servePage({
    port: options.port,
    mounts: MOUNTS,
    isolated: options.isolation,
    get: (path) => (path === '/sources' ? { status: 200, content: ends.sources } : undefined),
    post: (path) => startEnd(ends, path),
  });
  console.log(server.url);
  console.log(`images that the page sends go into ${folder}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server.close();
      void ends.close();
    });
  }
}

function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function startEnd(ends: Ends, path: string): Promise<Answer> {
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
