import { MultifdError } from './errors.ts';

/** What the runtimes that have modules like Node's differ in, as far as it matters here. */
interface Features {
  /** A file's descriptor means the same file in every thread. */
  readonly descriptorsCrossThreads: boolean;
  /** Threads of the runtime's own read files into any memory: libuv's. */
  readonly readsFilesAside: boolean;
  /** A socket's descriptor can be read and written past its stream. */
  readonly socketDescriptors: boolean;
  /** A stream of node:zlib has a handle that does its work in one call. */
  readonly codecHandles: boolean;
  /** Connecting to a Unix socket says why it failed. */
  readonly namesSocketErrors: boolean;
}

/** What is told by what there is, such as `Deno.upgradeWebSocket`, is not in here. */
const FEATURES: Readonly<Record<'node' | 'deno' | 'bun', Features>> = {
  node: {
    descriptorsCrossThreads: true,
    readsFilesAside: true,
    socketDescriptors: true,
    codecHandles: true,
    namesSocketErrors: true,
  },
  // Its descriptors are numbers of the thread that opened them.
  deno: {
    descriptorsCrossThreads: false,
    readsFilesAside: false,
    socketDescriptors: false,
    codecHandles: false,
    namesSocketErrors: true,
  },
  // Its sockets' descriptors stay silent.
  bun: {
    descriptorsCrossThreads: true,
    readsFilesAside: false,
    socketDescriptors: false,
    codecHandles: false,
    namesSocketErrors: false,
  },
};

/** Those of this runtime. Only for the build for Node, Deno and Bun. */
export function features(): Features {
  const { versions } = process;
  if (versions['deno'] !== undefined) return FEATURES.deno;
  return versions['bun'] !== undefined ? FEATURES.bun : FEATURES.node;
}

/**
 * Reports an error that changes nothing: as the process's `warning` event, or, where there is no
 * process, as the platform reports a listener that throws.
 */
export function warn(error: Error): void {
  const { process } = globalThis as { process?: { emitWarning?(error: Error): void } };
  if (process?.emitWarning !== undefined) process.emitWarning(error);
  else if (typeof reportError === 'function') reportError(error);
  else console.error(error);
}

/** For what there is on Node, Deno and Bun only. @param what a plural, such as `files`. */
export function unsupported(what: string): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `there are no ${what} in this runtime: only the entry for Node, Deno and Bun has them`,
  );
}
