/**
 * Serves the page, and is the other end of its migrations: `npm run example:browser -- [--port N] [--no-isolation] [--folder FOLDER] [IMAGE ...]`.
 *
 * Only this machine can reach it.
 */
import { mkdtemp } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isImage } from 'multifd';
import { Ends } from './server/ends.ts';
import { type Mount, serveFile } from './server/files.ts';

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

for (const image of images) if (!(await isImage(image))) throw new Error(`${image} is no mapped-ram image`);
const folder = values.folder ?? (await mkdtemp(join(tmpdir(), 'multifd-page-')));
const ends = new Ends(images, folder);
const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    console.error(error);
    response.writeHead(500).end('the server has failed; its own output says why\n');
  });
});
server.listen(Number(values.port), '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(`http://127.0.0.1:${port}/`);
  console.log(`images that the page sends go into ${folder}`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
    void ends.close();
  });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://127.0.0.1');
  if (request.method === 'GET' && pathname === '/sources') return json(response, ends.sources);
  if (request.method === 'GET') return serveFile(response, pathname, MOUNTS, !values['no-isolation']);
  if (request.method !== 'POST') return plain(response, 405, 'GET or POST');
  // A page of another site, or of another name for this machine, starts nothing here.
  if (request.headers['sec-fetch-site'] !== 'same-origin' || !/^(127\.0\.0\.1|localhost):\d+$/.test(request.headers.host ?? '')) return plain(response, 403, 'only this server\'s own page may ask for that');
  if (ends.full) return plain(response, 503, 'too many migrations are waiting or at work; cancel some, or wait for their time-outs');
  const end = pathname === '/targets' ? await ends.target() : await ends.source(pathname.slice('/sources/'.length));
  return end === undefined ? plain(response, 404, 'there is no such source') : json(response, end);
}

function json(response: ServerResponse, content: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(content));
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(text);
}
