/**
 * Has a live database, and serves a page that it can move to, and come back from: `npm run
 * example:sqlite:page -- [MIB]`; `--help` tells its options.
 *
 * Only this machine can reach it.
 */
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Argument } from 'commander';
import { runServer, serverCommand, wholeNumber } from '../browser/server/command.ts';
import type { Mount } from '../browser/server/files.ts';
import { servePage } from '../browser/server/page-server.ts';
import { Home } from './home.ts';
import { MODULE_FILE, readModule } from './module-file.ts';
import { megabytes } from './report.ts';
import { Host } from './server/host.ts';

const MOUNTS: readonly Mount[] = [
  { prefix: '/multifd/', folder: new URL('../browser/', import.meta.url) },
  { prefix: '/sql.js/', folder: pathToFileURL(`${dirname(MODULE_FILE)}/`) },
  { prefix: '/', folder: new URL('sqlite-page/', import.meta.url) },
];

await runServer(
  serverCommand(
    'sqlite-server',
    'Has a live database, and serves a page that it can move to, and come back from.',
  )
    .addArgument(
      new Argument('[mib]', 'size of the database in MiB')
        .argParser(wholeNumber(1, 1536))
        .default(64),
    )
    .action(serve),
);

async function serve(mib: number, options: { port: number }): Promise<void> {
  const home = await Home.open(await readModule());
  const writer = home.found(mib * 2 ** 20);
  const host = new Host(home);
  const server = await servePage({
    port: options.port,
    mounts: MOUNTS,
    isolated: true,
    post: (path) => host.answer(path),
  });
  console.log(server.url);
  writer.start();
  console.log(
    `${home.ledger.accounts} accounts in ${megabytes(home.memory.buffer.byteLength)} of ` +
      'WebAssembly memory; the writer works here',
  );
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server.close();
      void host.close();
    });
  }
}
