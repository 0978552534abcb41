import { MultifdError } from '../../util/errors.ts';
import { formatUri, type WebUri } from '../schemes.ts';
import type { StreamPair } from '../stream-connection.ts';

/**
 * One POST is one connection: the request's body is what the client says, the response's body what
 * the server says, both streamed.
 */

export const METHOD = 'POST';
export const CONTENT_TYPE = 'application/octet-stream';

export function requestHeaders(token: string | undefined): Record<string, string> {
  return {
    'Content-Type': CONTENT_TYPE,
    ...(token !== undefined && { Authorization: `Bearer ${token}` }),
  };
}

/** Nothing between the two ends may keep or hold back what is streamed. */
export const RESPONSE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': CONTENT_TYPE,
  'Cache-Control': 'no-store',
  'X-Accel-Buffering': 'no',
};

/** What an answer other than 200 means. */
export function refusal(uri: WebUri, status: number): MultifdError {
  const why: Readonly<Record<number, string>> = {
    401: 'the token is missing or wrong: give the one that the other end has',
    403: 'it takes no page of this origin: name the origin there, or give both ends a token',
    404: 'it has nothing at this path',
    405: `it takes no ${METHOD} there`,
    426: 'it wants a WebSocket: use ws:',
    503: 'it takes no more connections now',
  };
  return new MultifdError(
    status === 401 ? 'ERR_AUTH' : 'ERR_CONNECT',
    `${formatUri(uri)} answered with status ${status}: ` +
      `${why[status] ?? 'it is no target of a migration'}`,
  );
}

/**
 * A client's pair, of which the response comes later: where requests are not duplex, only once the
 * request's body has ended.
 * @param response rejects with why there is none, or none that can be read.
 * @param giveUp called when the response is not awaited any more.
 */
export function requestPair(
  writable: WritableStream<Uint8Array>,
  response: Promise<ReadableStream<Uint8Array>>,
  giveUp: () => void,
): StreamPair {
  response.catch(() => {}); // the next read or write fails
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  const readable = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        reader ??= (await response).getReader();
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel(reason) {
        if (reader === undefined) giveUp();
        await reader?.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  const body = writable.getWriter();
  body.closed.catch(() => {});
  /** A request that is refused takes its body down with it: its answer says more than that. */
  const explained = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (thrown) {
      await response;
      throw thrown;
    }
  };
  return {
    readable,
    writable: new WritableStream({
      write: (chunk) => explained(body.write(chunk)),
      close: () => explained(body.close()),
      abort: (reason) => body.abort(reason),
    }),
  };
}
