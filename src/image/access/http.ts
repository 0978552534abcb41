import { cancelledBy, MultifdError } from '../../util/errors.ts';
import { checkToken } from '../../transport/adapters/admission.ts';
import { checkRange, type ContentRange } from './http-range.ts';
import type { RandomAccess } from '../../files/random-access.ts';

/** How a URL is read. */
export interface UrlOptions {
  /** Sent as `Authorization: Bearer`, to that server only (none). */
  token?: string;
  /** Milliseconds that one request may take, with its at most 1 MiB (30000). */
  timeout?: number;
  /** Ends what reads with ERR_CANCELLED. */
  signal?: AbortSignal;
}

/**
 * The most that is asked for at a time, so that no answer is large, and each has to come within the
 * time-out.
 */
const PIECE = 1024 * 1024;
/**
 * What the first request brings: it has an image's beginning, whose parts are looked at one by one.
 */
const BEGINNING = 64 * 1024;
const TIMEOUT = 30_000;

/**
 * Opens a URL to read anywhere in it, by range requests, and as it was when it was opened: what
 * changes meanwhile is an error. The server has to answer ranges, and to say by ETag or
 * Last-Modified what it answers of. Redirections are followed.
 *
 * @throws MultifdError ERR_CONNECT, ERR_AUTH, ERR_TIMEOUT, ERR_CANCELLED; ERR_UNSUPPORTED for a
 *   server that cannot do what is needed; ERR_OPTION, ERR_URI for what no request can be made of.
 */
export async function openUrl(
  url: URL,
  { token, timeout = TIMEOUT, signal }: UrlOptions = {},
): Promise<RandomAccess> {
  checkToken(token);
  if (url.username !== '' || url.password !== '')
    throw new MultifdError(
      'ERR_URI',
      'a URL with a user name and a password: give a token instead',
    );
  const access = new HttpAccess(url, {
    timeout,
    signal,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  try {
    await access.begin();
    return access;
  } catch (error) {
    await access.close();
    throw error;
  }
}

interface Requests {
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

class HttpAccess implements RandomAccess {
  /** Without the query, which may have secrets. */
  readonly name: string;
  readonly #url: URL;
  readonly #requests: Requests;
  readonly #closed = new AbortController();
  #beginning: Uint8Array = new Uint8Array(0);
  #opened: ContentRange | undefined;

  constructor(url: URL, requests: Requests) {
    this.name = url.origin + url.pathname;
    this.#url = url;
    this.#requests = requests;
  }

  get size(): number {
    return this.#opened?.total ?? 0;
  }

  async begin(): Promise<void> {
    const into = new Uint8Array(BEGINNING);
    this.#beginning = into.subarray(0, await this.#fetch(0, into));
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const wanted = into.subarray(0, Math.max(0, Math.min(into.length, this.size - offset, PIECE)));
    if (wanted.length === 0) return 0;
    if (offset >= this.#beginning.length) return this.#fetch(offset, wanted);
    const known = this.#beginning.subarray(offset, offset + wanted.length);
    wanted.set(known);
    return known.length;
  }

  async close(): Promise<void> {
    this.#closed.abort(
      new MultifdError('ERR_CANCELLED', `${this.name} was closed while it was being read`),
    );
  }

  async #fetch(offset: number, into: Uint8Array): Promise<number> {
    return this.#limited(async (signal) => {
      const response = await this.#request(offset, into.length, signal);
      try {
        const range = checkRange(response, {
          name: this.name,
          offset,
          length: into.length,
          opened: this.#opened,
        });
        this.#opened ??= range;
        return await readBody(response, into.subarray(0, range.length));
      } catch (error) {
        await response.body?.cancel().catch(() => {});
        throw signal.aborted ? signal.reason : this.#failed(error, 'ERR_PEER_CLOSED', offset);
      }
    });
  }

  async #request(offset: number, length: number, signal: AbortSignal): Promise<Response> {
    const headers = {
      ...this.#requests.headers,
      ...this.#opened?.condition,
      range: `bytes=${offset}-${offset + length - 1}`,
    };
    const attempt = (): Promise<Response> =>
      fetch(this.#url, { headers, signal, cache: 'no-store' });
    try {
      // A server may close a connection that it had kept open for us in the moment we use it: that
      // is no answer, and costs one more request.
      return await attempt().catch((error: unknown) => {
        if (signal.aborted || this.#opened === undefined) throw error;
        return attempt();
      });
    } catch (error) {
      throw signal.aborted ? signal.reason : this.#failed(error, 'ERR_CONNECT', offset);
    }
  }

  /** Runs a request that the time-out, the caller's signal and {@link close} end. */
  async #limited<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timeout, signal } = this.#requests;
    const limit = new AbortController();
    const closed = (): void => limit.abort(this.#closed.signal.reason);
    const cancelled = (): void =>
      limit.abort(cancelledBy(signal!, `reading ${this.name} was cancelled`));
    const timer = setTimeout(
      () =>
        limit.abort(
          new MultifdError(
            'ERR_TIMEOUT',
            `${this.name} did not answer a request in full within ${timeout} ms`,
          ),
        ),
      timeout,
    );
    this.#closed.signal.addEventListener('abort', closed);
    signal?.addEventListener('abort', cancelled);
    try {
      if (this.#closed.signal.aborted) closed();
      else if (signal?.aborted === true) cancelled();
      limit.signal.throwIfAborted();
      return await use(limit.signal);
    } finally {
      clearTimeout(timer);
      this.#closed.signal.removeEventListener('abort', closed);
      signal?.removeEventListener('abort', cancelled);
    }
  }

  #failed(error: unknown, code: 'ERR_CONNECT' | 'ERR_PEER_CLOSED', offset: number): MultifdError {
    if (error instanceof MultifdError) return error;
    const { message, cause } = error as Error;
    const why = cause instanceof Error ? `${message}: ${cause.message}` : message;
    return new MultifdError(code, `cannot read ${this.name}: ${why}`, { offset, cause: error });
  }
}

/** Fills `into` with a body, which has to be exactly as long. */
async function readBody(response: Response, into: Uint8Array): Promise<number> {
  const reader = response.body!.getReader();
  let filled = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (value.length > into.length - filled) {
      await reader.cancel();
      throw new MultifdError(
        'ERR_IMAGE',
        `the server sends more than the ${into.length} bytes that it announced`,
      );
    }
    into.set(value, filled);
    filled += value.length;
  }
  if (filled < into.length)
    throw new MultifdError(
      'ERR_PEER_CLOSED',
      `the server ended its answer after ${filled} of ${into.length} bytes`,
    );
  return filled;
}
