import { INITIAL, INITIAL_LENGTH, instantiateCore, MAGIC, packetError } from '../../core/index.ts';
import { MultifdError } from '../../errors.ts';
import { STREAM_MAGIC } from '../../stream/index.ts';
import type { Link } from '../../transport/link.ts';
import { type Arrival, Reception } from '../../transport/reception.ts';
import { type IncomingLinks, incomingLinks, type IncomingWay } from '../way.ts';

/** A connection that has said what it is, and what was read of it beyond that. */
export interface Connection {
  link: Link;
  rest: Uint8Array;
}

export interface ConnectionsOptions {
  channels: number;
  /** 16 bytes. */
  uuid: Uint8Array;
  /** Milliseconds for a connection's first bytes, and from the first connection until all are there. */
  timeout: number;
  /** The migration has begun: one of its connections is there. */
  onFirst: () => void;
}

/** Takes in the 1 + N connections of one migration, in whichever order they come. Whoever creates it has to destroy it. */
export class Connections {
  readonly uri: string;
  /** The main channel. Rejects with the first wrong connection, and when it does not come in time. */
  readonly main: Promise<Connection>;
  /** All multifd channels, by id; rejects likewise. */
  readonly channels: Promise<Connection[]>;
  /** Resolves with the first wrong connection's error, also one that comes when all others are there. */
  readonly failure: Promise<MultifdError>;
  readonly #links: IncomingLinks;
  readonly #reception: Reception;
  readonly #gathering: Gathering;

  private constructor(links: IncomingLinks, reception: Reception, gathering: Gathering) {
    this.uri = links.uri;
    this.main = gathering.main;
    this.channels = gathering.channels;
    this.failure = gathering.failure;
    this.#links = links;
    this.#reception = reception;
    this.#gathering = gathering;
  }

  /** @throws MultifdError ERR_LISTEN, and what else {@link incomingLinks} throws. */
  static async open(way: IncomingWay, options: ConnectionsOptions): Promise<Connections> {
    const checkInitial = await initialChecker(options);
    const gathering = new Gathering(options, checkInitial);
    const reception = migrationReception(way, (arrival) => gathering.take(arrival));
    return new Connections(await incomingLinks(way, (link) => reception.take(link)), reception, gathering);
  }

  /** Makes whoever waits for a connection wait no longer. */
  abandon(error: MultifdError): void {
    this.#gathering.reject(error);
  }

  /** Stops listening: who comes now belongs to no migration that is still under way. */
  close(): void {
    this.#links.close();
    this.#reception.close();
  }

  /** Stops listening, and closes every connection. */
  destroy(): void {
    this.close();
    this.#gathering.destroy();
  }
}

/** Tells a migration's connections apart. */
export function migrationReception({ timeout, dials, maxConnections, onStranger }: IncomingWay, onArrival: (arrival: Arrival) => void): Reception {
  return new Reception({
    // Whoever we have connected to may begin whenever it likes.
    timeout: dials === undefined ? timeout : Number.POSITIVE_INFINITY,
    maxUnknown: Math.max(maxConnections, dials ?? 0),
    magics: { main: STREAM_MAGIC, multifd: MAGIC },
    initialBytes: INITIAL_LENGTH,
    onArrival,
    onStranger,
  });
}

export type InitialChecker = (packet: Uint8Array) => number;

class Gathering {
  readonly main: Promise<Connection>;
  readonly channels: Promise<Connection[]>;
  readonly failure: Promise<MultifdError>;
  readonly #options: ConnectionsOptions;
  readonly #checkInitial: InitialChecker;
  readonly #found: (Connection | undefined)[];
  readonly #links = new Set<Link>();
  #hasMain = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resolveMain!: (connection: Connection) => void;
  #resolveChannels!: (connections: Connection[]) => void;
  #resolveFailure!: (error: MultifdError) => void;
  #rejectMain!: (error: MultifdError) => void;
  #rejectChannels!: (error: MultifdError) => void;

  constructor(options: ConnectionsOptions, checkInitial: InitialChecker) {
    this.#options = options;
    this.#checkInitial = checkInitial;
    this.#found = new Array<Connection | undefined>(options.channels).fill(undefined);
    this.main = new Promise((resolve, reject) => {
      this.#resolveMain = resolve;
      this.#rejectMain = reject;
    });
    this.channels = new Promise((resolve, reject) => {
      this.#resolveChannels = resolve;
      this.#rejectChannels = reject;
    });
    this.failure = new Promise((resolve) => {
      this.#resolveFailure = resolve;
    });
    // Whoever waits for them is told; nobody has to be waiting yet.
    this.main.catch(() => {});
    this.channels.catch(() => {});
  }

  take(arrival: Arrival): void {
    this.#links.add(arrival.link);
    try {
      if (arrival.kind === 'main') this.#takeMain(arrival);
      else this.#takeChannel(arrival);
    } catch (thrown) {
      this.reject(MultifdError.from(thrown));
    }
  }

  destroy(): void {
    clearTimeout(this.#timer);
    for (const link of this.#links) link.destroy();
  }

  #takeMain({ link, read }: Arrival): void {
    if (this.#hasMain) throw new MultifdError('ERR_CHANNEL_COUNT', 'a second main channel arrived: two sources at once?', { channel: 'main' });
    this.#hasMain = true;
    this.#begin();
    this.#resolveMain({ link, rest: read });
    this.#settleIfAll();
  }

  #takeChannel({ link, read }: Arrival): void {
    const id = this.#checkInitial(read);
    if (this.#found[id] !== undefined) throw new MultifdError('ERR_CHANNEL_ID', `channel ${id} arrived twice`, { channel: id, offset: INITIAL.id });
    this.#found[id] = { link, rest: read.slice(INITIAL_LENGTH) };
    this.#begin();
    const all = this.#found.filter((connection) => connection !== undefined);
    if (all.length === this.#found.length) this.#resolveChannels(all);
    this.#settleIfAll();
  }

  #begin(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.reject(this.#missing()), this.#options.timeout);
    this.#options.onFirst();
  }

  #settleIfAll(): void {
    if (this.#hasMain && this.#found.every((connection) => connection !== undefined)) clearTimeout(this.#timer);
  }

  #missing(): MultifdError {
    const present = this.#found.filter((connection) => connection !== undefined).length;
    const seconds = this.#options.timeout / 1000;
    if (!this.#hasMain) return new MultifdError('ERR_CHANNEL_COUNT', `the main channel did not arrive within ${seconds} s of the first connection`, { channel: 'main' });
    return new MultifdError('ERR_CHANNEL_COUNT', `${present} of ${this.#found.length} channels arrived within ${seconds} s: set the same number at both ends`);
  }

  reject(error: MultifdError): void {
    clearTimeout(this.#timer);
    this.#resolveFailure(error);
    this.#rejectMain(error);
    this.#rejectChannels(error);
  }
}

/**
 * @param expected what initial packets have to agree with; without a uuid, the first packet's has to be every other's.
 * @returns a function that gives an initial packet's channel id, or throws what is wrong with the packet.
 */
export async function initialChecker(expected: { uuid: Uint8Array | undefined; channels: number }): Promise<InitialChecker> {
  const { channels } = expected;
  let { uuid } = expected;
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const core = await instantiateCore(memory);
  const bytes = new Uint8Array(memory.buffer);
  const uuidAt = INITIAL_LENGTH;
  return (packet) => {
    uuid ??= Uint8Array.from(packet.subarray(INITIAL.uuid, INITIAL.id));
    bytes.set(uuid, uuidAt);
    bytes.set(packet.subarray(0, INITIAL_LENGTH));
    const refusal = core.checkInitial(0, uuidAt, channels);
    const view = new DataView(memory.buffer);
    const id = view.getUint8(INITIAL.id);
    if (refusal !== 0) throw packetError(refusal, view, { channel: id, offset: 0 });
    return id;
  };
}
