import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MultifdError } from 'multifd';
import { type Mount, serveFile } from './files.ts';

export interface Answer {
  status: number;
  /** A text is sent as it is, all else as JSON. */
  content: unknown;
}

export interface PageServerOptions {
  /** 0: any free one. */
  port: number;
  /** The last one's prefix is `/`. */
  mounts: readonly Mount[];
  /** Whether the page may share memory with its workers. */
  isolated: boolean;
  /** What is no file; undefined where there is one, or nothing. */
  get?: (path: string) => Answer | undefined;
  /** What the page, and nobody else, asks to be done. */
  post: (path: string) => Promise<Answer>;
}

export interface PageServer {
  url: string;
  close(): void;
}

/** Serves a page on 127.0.0.1: only this machine can reach it. */
export async function servePage(options: PageServerOptions): Promise<PageServer> {
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      console.error(error);
      response.writeHead(500).end('the server has failed; its own output says why\n');
    });
  });
  const { port } = options;
  await new Promise<void>((resolve, reject) =>
    server
      .once('error', (cause) => {
        const what = `127.0.0.1:${port} can't be listened on: ${cause.message}`;
        const message = `${what}; --port chooses another, 0 any free one`;
        reject(new MultifdError('ERR_LISTEN', message, { cause }));
      })
      .listen(port, '127.0.0.1', resolve),
  );
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(
  { method, url, headers }: IncomingMessage,
  response: ServerResponse,
  { mounts, isolated, get, post }: PageServerOptions,
): Promise<void> {
  const { pathname } = new URL(url ?? '/', 'http://127.0.0.1');
  if (method === 'GET') {
    const content = get?.(pathname);
    return content === undefined
      ? serveFile(response, pathname, mounts, isolated)
      : write(response, content);
  }
  if (method !== 'POST') return write(response, { status: 405, content: 'GET or POST' });
  // A page of another site, or of another name for this machine, starts nothing here.
  const own =
    headers['sec-fetch-site'] === 'same-origin' &&
    /^(127\.0\.0\.1|localhost):\d+$/.test(headers.host ?? '');
  write(
    response,
    own
      ? await post(pathname)
      : { status: 403, content: "only this server's own page may ask for that" },
  );
}

function write(response: ServerResponse, { status, content }: Answer): void {
  if (typeof content === 'string')
    response.writeHead(status, { 'Content-Type': 'text/plain' }).end(content);
  else
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(content));
}
