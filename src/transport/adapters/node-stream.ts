import type { Duplex, Readable, Writable } from 'node:stream';
import { refuse } from '../../util/checks.ts';
import { webReadable, webWritable } from '../sockets/web-streams.ts';
import type { StreamPair } from '../stream-connection.ts';

/**
 * Streams of `node:stream` as they are known by what they have: the types are for programs without
 * Node's too, and nothing of Node's is loaded.
 */
interface NodeStream {
  readonly destroyed: boolean;
  on(...args: never[]): unknown;
}

/** A `Readable` of bytes, such as a socket, or what a child process says. */
export interface NodeReadable extends NodeStream {
  readonly readableFlowing: boolean | null;
  read(size?: number): unknown;
  resume(): unknown;
}

/** A `Writable` of bytes. */
export interface NodeWritable extends NodeStream {
  readonly writableEnded: boolean;
  write(chunk: Uint8Array): boolean;
  end(): unknown;
}

/** A `Duplex` of bytes: a socket, a stream of HTTP/2, one end of a pair. */
export type NodeDuplex = NodeReadable & NodeWritable;

/** Two streams, either of which may be of either kind. */
export interface EitherStreamPair {
  readable: ReadableStream<Uint8Array> | NodeReadable;
  writable: WritableStream<Uint8Array> | NodeWritable;
}

/** A pair of WHATWG streams of what may be one, or one of Node's; undefined for anything else. */
export function streamPairOf(given: unknown, ways: string): StreamPair | undefined {
  if (isReadable(given) && isWritable(given))
    return pairOf({ readable: given, writable: given }, ways);
  if (typeof given !== 'object' || given === null) return undefined;
  if (!('readable' in given) || !('writable' in given)) return undefined;
  return pairOf(given as EitherStreamPair, ways);
}

/** @throws MultifdError ERR_OPTION, before anything of either is touched. */
function pairOf(pair: EitherStreamPair, ways: string): StreamPair {
  const { readable, writable } = pair;
  const whatwgIn = isWhatwgReadable(readable);
  const whatwgOut = isWhatwgWritable(writable);
  const free =
    (whatwgIn ? !readable.locked : isReadable(readable) && readable.readableFlowing !== true) &&
    (whatwgOut ? !writable.locked : isWritable(writable));
  if (!free) return refuse('a connection', pair, ways);
  // The end of what comes is no end of what goes: it is where a target answers.
  if ((readable as unknown) === writable) (readable as unknown as Duplex).allowHalfOpen = true;
  return {
    readable: whatwgIn ? readable : webReadable(readable as Readable),
    writable: whatwgOut ? writable : webWritable(writable as unknown as Writable),
  };
}

type Methods<T> = Partial<Record<keyof T, unknown>> | null | undefined;

function isReadable(given: unknown): given is NodeReadable {
  const stream = given as Methods<NodeReadable & { pipe(): void }>;
  return [stream?.pipe, stream?.on, stream?.read, stream?.resume].every(
    (method) => typeof method === 'function',
  );
}

function isWritable(given: unknown): given is NodeWritable {
  const stream = given as Methods<NodeWritable>;
  return [stream?.on, stream?.write, stream?.end].every((method) => typeof method === 'function');
}

function isWhatwgReadable(given: unknown): given is ReadableStream<Uint8Array> {
  return typeof (given as Methods<ReadableStream>)?.getReader === 'function';
}

function isWhatwgWritable(given: unknown): given is WritableStream<Uint8Array> {
  return typeof (given as Methods<WritableStream>)?.getWriter === 'function';
}
