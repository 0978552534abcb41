import {
  ConnectionQueue,
  type IncomingMigration,
  type IncomingOptions,
  type OutgoingOptions,
  receive,
  type StreamPair,
} from 'multifd';
import type { Capability, Io } from './capabilities.ts';

/** What a case says of a target; how its connections come is said by Endpoints. */
export type Target = Omit<IncomingOptions, 'uri' | 'connect' | 'inbox'>;
/** How a source gets to a target. */
export type To = Pick<
  OutgoingOptions,
  'uri' | 'connect' | 'token' | 'tls' | 'listen' | 'onListening'
>;

export interface Opened {
  incoming: Pick<IncomingMigration, 'uri' | 'completed'>;
  to: To;
}

/** How a source reaches a target, both of them here. */
export interface Endpoints {
  capability: Capability;
  /** What else it takes. */
  needs?: readonly Capability[];
  name: string;
  open(target: Target, io: Io): Promise<Opened>;
}

/** Two pairs of streams, each of which has at one end what the other gets at its own. */
export function streamPairs(): [StreamPair, StreamPair] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    { readable: back.readable, writable: there.writable },
    { readable: there.readable, writable: back.writable },
  ];
}

const TOKEN = 'a.token-with_some~signs+/==';

export const STREAMS: Endpoints = {
  capability: 'streams',
  name: 'pairs of streams',
  async open(target) {
    const inbox = new ConnectionQueue();
    const connect = (): StreamPair => {
      const [source, other] = streamPairs();
      void inbox.add(other);
      return source;
    };
    return { incoming: await receive({ ...target, inbox }), to: { connect } };
  },
};

const MESSAGE_PORTS: Endpoints = {
  capability: 'messagePort',
  name: 'MessagePorts',
  async open(target) {
    const inbox = new ConnectionQueue();
    const connect = (): MessagePort => {
      const { port1, port2 } = new MessageChannel();
      void inbox.add(port2);
      return port1;
    };
    return { incoming: await receive({ ...target, inbox }), to: { connect } };
  },
};

/** The target listens. */
const listening = (
  capability: Capability,
  name: string,
  uriOf: (io: Io) => string,
  more: { token?: string } = {},
): Endpoints => ({
  capability,
  name,
  async open(target, io) {
    const incoming = await receive({ ...target, ...more, uri: uriOf(io) });
    return { incoming, to: { uri: incoming.uri, ...more } };
  },
});

/** The source listens. */
const dialling = (
  capability: Capability,
  listens: Capability,
  name: string,
  uri: string,
): Endpoints => ({
  capability,
  needs: [listens],
  name,
  async open(target) {
    let onListening: (at: string) => void = () => {};
    const listening = new Promise<string>((resolve) => {
      onListening = resolve;
    });
    const token = TOKEN;
    const options = { ...target, connect: true, token };
    const connecting = listening.then((at) => receive({ ...options, uri: at }));
    const completed = connecting.then((incoming) => incoming.completed);
    return { incoming: { uri, completed }, to: { uri, listen: true, onListening, token } };
  },
});

/**
 * The global class of the runtime, whichever ours uses to dial. What such a socket can do differs:
 * some call back, some can be told to wait.
 */
const OWN_AT_SOURCE: Endpoints = {
  capability: 'webSocket',
  needs: ['webSocketListen'],
  name: "the runtime's own WebSockets, of the source",
  async open(target) {
    const incoming = await receive({ ...target, uri: 'ws://127.0.0.1:0/' });
    return { incoming, to: { connect: () => new WebSocket(incoming.uri, 'multifd') } };
  },
};

const OWN_AT_TARGET: Endpoints = {
  capability: 'webSocket',
  needs: ['webSocketListen'],
  name: "the runtime's own WebSockets, of the target",
  async open(target) {
    const inbox = new ConnectionQueue();
    const incoming = await receive({ ...target, inbox });
    // The class of the runtimes takes no headers: the token is one of the protocols.
    const protocols = ['multifd', `bearer.${btoa(TOKEN).replaceAll('=', '')}`];
    const onListening = (at: string): void => {
      for (let n = 0; n <= (target.channels ?? 2); n++)
        void inbox.add(new WebSocket(at, protocols));
    };
    return { incoming, to: { uri: 'ws://127.0.0.1:0/', listen: true, onListening, token: TOKEN } };
  },
};

/** Both ends dial, and somebody joins their connections. */
const MEETING: Endpoints = {
  capability: 'webSocket',
  name: 'WebSockets, dialled from both ends',
  async open(target, io) {
    return {
      incoming: await receive({ ...target, uri: io.meeting!.target, connect: true }),
      to: { uri: io.meeting!.source },
    };
  },
};

const TLS: Endpoints = {
  capability: 'tls',
  name: 'TLS',
  async open(target, { tls }) {
    const incoming = await receive({
      ...target,
      uri: 'tcp:127.0.0.1:0',
      tls: { credsDir: tls!.target },
    });
    return { incoming, to: { uri: incoming.uri, tls: { credsDir: tls!.source } } };
  },
};

/**
 * One whose channels are threads at the source, if they can be: only in a thread of its own can
 * zstd be encoded everywhere.
 */
export function endpointsOfThreads(io: Io): Endpoints {
  if (io.folder !== undefined) return listening('tcp', 'TCP', () => 'tcp:127.0.0.1:0');
  return io.meeting === undefined ? STREAMS : MEETING;
}

/**
 * Listening takes a runtime that dials as well; one that does not listen has somebody to meet at.
 */
export function endpointsOf(io: Io): readonly Endpoints[] {
  return [
    STREAMS,
    MESSAGE_PORTS,
    listening('tcp', 'TCP', () => 'tcp:127.0.0.1:0'),
    TLS,
    listening('unix', 'a Unix socket', ({ folder }) => `unix:${folder}/socket`),
    listening('webSocketListen', 'WebSockets', () => 'ws://127.0.0.1:0/a/path', { token: TOKEN }),
    listening('httpListen', 'HTTP', () => 'http://127.0.0.1:0/a/path', { token: TOKEN }),
    {
      ...listening('webSocket', 'WebSockets', () => 'ws://127.0.0.1:0/'),
      needs: ['webSocketListen'],
    },
    dialling(
      'webSocket',
      'webSocketListen',
      'WebSockets, dialled by the target',
      'ws://127.0.0.1:0/',
    ),
    // Of the runtimes here only Node 20 has none.
    ...(typeof WebSocket === 'function' ? [OWN_AT_SOURCE, OWN_AT_TARGET] : []),
    ...(io.meeting === undefined ? [] : [MEETING]),
    { ...listening('http', 'HTTP', () => 'http://127.0.0.1:0/'), needs: ['httpListen'] },
    dialling('httpTarget', 'httpListen', 'HTTP, dialled by the target', 'http://127.0.0.1:0/'),
  ];
}
