import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** Bytes from `start` to, not with, `end`. */
export interface AskedRange {
  start: number;
  end: number;
}

/** What a server does instead of answering well; true if it has answered. */
export type Misbehaviour = (
  response: ServerResponse,
  range: AskedRange,
  request: IncomingMessage,
) => boolean;

export interface RangeServer {
  readonly url: string;
  /** All that has been asked for. */
  readonly asked: AskedRange[];
  readonly requests: IncomingMessage[];
  content: Uint8Array;
  headers: Record<string, string>;
  misbehave: Misbehaviour;
}

/**
 * A server of one resource, which answers range requests as long as it does not misbehave. It ends
 * with the test.
 */
export async function rangeServer(
  content: Uint8Array,
  headers: Record<string, string> = { etag: '"1"' },
): Promise<RangeServer> {
  const server = createServer((request, response) => answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const state: RangeServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/vm.img`,
    asked: [],
    requests: [],
    content,
    headers,
    misbehave: () => false,
  };
  return state;
}

function answer(server: RangeServer, request: IncomingMessage, response: ServerResponse): void {
  const { content, headers } = server;
  server.requests.push(request);
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const range = { start: Number(first), end: Math.min(content.length, Number(last) + 1) };
  server.asked.push(range);
  if (server.misbehave(response, range, request)) return;
  const { 'if-match': tag, 'if-unmodified-since': date } = request.headers;
  if (
    (tag !== undefined && tag !== headers['etag']) ||
    (date !== undefined && date !== headers['last-modified'])
  )
    response.writeHead(412).end();
  else if (range.start >= content.length)
    response.writeHead(416, { ...headers, 'content-range': `bytes */${content.length}` }).end();
  else answerWith(server, response, range);
}

/** A right answer, but for what is given here. */
export function answerWith(
  { content, headers }: RangeServer,
  response: ServerResponse,
  { start, end }: AskedRange,
  others: Record<string, string> = {},
  body: Uint8Array = content.subarray(start, end),
): void {
  response
    .writeHead(206, {
      ...headers,
      'content-range': `bytes ${start}-${end - 1}/${content.length}`,
      ...others,
    })
    .end(body);
}
