/** What a runtime can have; in the order of the table in docs/runtimes.md. */
export const CAPABILITIES = {
  core: 'core, over memory of one thread',
  sharedMemory: 'core, over memory of several threads',
  engine: 'engine, channels as tasks',
  workers: 'engine, channels as threads',
  blockingWait: 'blocking waits',
  streams: 'migration over pairs of streams',
  messagePort: 'over MessagePorts',
  tcp: 'over TCP',
  tls: 'over TLS',
  unix: 'over Unix sockets',
  webSocket: 'over WebSockets, dialling',
  webSocketListen: 'over WebSockets, listening',
  http: 'over HTTP bodies, dialling',
  httpListen: 'over HTTP bodies, listening',
  httpTarget: 'over HTTP bodies, dialling as the target',
  files: 'mapped-ram images',
  live: 'live migration',
  reactor: 'live migration of a WebAssembly program',
  zlib: 'compression zlib',
  zstd: 'compression zstd',
  errors: 'errors, by their codes',
} as const;

export type Capability = keyof typeof CAPABILITIES;

/**
 * What the runtime at hand can do. What is missing here is tried all the same, and has to be
 * refused.
 */
export type Capabilities = ReadonlySet<Capability>;

/** What the launcher has for the cases that need something of the outside. */
export interface Io {
  /** The program of reactor.ts, compiled. */
  reactor: WebAssembly.Module;
  /** A module that calls `serveChannel` with the program of channel-program.ts. */
  channelModule?: URL;
  /** A folder to write to. */
  folder?: string;
  /** Folders with TLS credentials. */
  tls?: { source: string; target: string };
  /**
   * For runtimes that can dial but not listen: two addresses, whose connections somebody joins in
   * the order in which they come.
   */
  meeting?: { source: string; target: string };
  /** For the same: where a target listens, and takes the source of `pairOf` once. */
  httpTarget?: string;
}
