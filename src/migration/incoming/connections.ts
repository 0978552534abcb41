import { INITIAL, INITIAL_LENGTH, instantiateCore, MAGIC, packetError } from '../../core/index.ts';
import { type ErrorCode, MultifdError } from '../../util/errors.ts';
import { STREAM_MAGIC } from '../../stream/index.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';
import type { Connection } from '../../transport/connection.ts';
import { type ClassifiedConnection, ConnectionClassifier } from '../../transport/classify.ts';
import {
  type IncomingEndpoint,
  openIncomingEndpoint,
  type IncomingEndpointOptions,
  type SourceEndpoint,
} from '../../transport/endpoint.ts';

export interface ConnectionsOptions {
  channels: number;
  /** 16 bytes. */
  uuid: Uint8Array;
  /**
   * Milliseconds for a connection's first bytes, and from the first connection until all are there;
   * where we connect, from when all connections stand.
   */
  timeout: number;
  /** The migration has begun: one of its connections is there. */
  onFirst: () => void;
}

/**
 * How much later than the first sync of the main channel another channel may come, in milliseconds.
 * A source writes that sync when each of its channels has connected and written its own (QEMU 7.2
 * and 10.0, and this project), so that only the way here can make one late: a segment that was lost
 * (TCP sends it again after 0.2 s, 0.4 s, ...), or a proxy that has yet to connect.
 */
export const FIRST_SYNC = {
  milliseconds: 3_000,
  event: 'the first sync on the main channel, when a source has connected all it has',
};
/**
 * So long after one of its connections was dropped, in milliseconds, a source has given up and
 * closed the others: a second source, whose channels would otherwise pass for those of the first
 * one.
 */
export const GIVE_UP_MS = 1_000;

/**
 * Accepts the 1 + N connections of one migration, in any order. Its creator has to destroy it.
 *
 * Nothing in a plain connection tells a source from any other client that reaches the port, so the
 * rules are:
 *
 * - Until all are there, the first to say that it is the main channel, or a channel, is taken for
 *   it, and a later one that says the same is dropped. A channel that can't be one of the migration
 *   (a version, a uuid, an id out of range) fails it, since most often it is the source's, set up
 *   otherwise than this end, and the error says what to set. So until then another client can take
 *   a place or make the migration fail; TLS or a token keeps it out.
 * - Once all are there, a connection that comes belongs to no migration: it is dropped and
 *   reported, and the migration goes on. One exception: a channel with an id out of range, up to
 *   the first sync and {@link GIVE_UP_MS} after it, when the source's own come if it has more than
 *   were agreed on. That is an error which ends all connections at once. (If the source lost that
 *   channel only, what it sent there would be missing; and a QEMU 10.0 that loses one of its
 *   channels in its last sync hangs for good.) One that comes later is remembered ({@link extra}),
 *   for the case that it was the source's all the same.
 * - Where this end dials, every connection belongs to the migration: one that is dropped fails it.
 */
export class Connections {
  readonly uri: string;
  /**
   * The main channel. Rejects with the first wrong connection, and when it does not come in time.
   */
  readonly main: Promise<IdentifiedConnection>;
  /** All multifd channels, by id; rejects likewise. */
  readonly channels: Promise<IdentifiedConnection[]>;
  /** Resolves with the first wrong connection's error, unless all are there before. */
  readonly failure: Promise<MultifdError>;
  readonly #connections: IncomingEndpoint;
  readonly #classifier: ConnectionClassifier;
  readonly #set: ConnectionSet;

  private constructor(
    connections: IncomingEndpoint,
    classifier: ConnectionClassifier,
    set: ConnectionSet,
  ) {
    this.uri = connections.uri;
    this.main = set.main;
    this.channels = set.channels;
    this.failure = set.failure;
    this.#connections = connections;
    this.#classifier = classifier;
    this.#set = set;
  }

  /** @throws MultifdError ERR_LISTEN, and what else {@link openIncomingEndpoint} throws. */
  static async open(
    endpoint: SourceEndpoint,
    endpointOptions: IncomingEndpointOptions,
    options: ConnectionsOptions,
  ): Promise<Connections> {
    const checkInitial = await initialChecker(options);
    const set = new ConnectionSet(options, checkInitial, endpointOptions);
    const onRejected = (why: string, code: ErrorCode): void =>
      set.drop(why, new MultifdError(code, why));
    const classifier = migrationClassifier({ ...endpointOptions, onRejected }, (arrival) =>
      set.take(arrival),
    );
    const connections = await openIncomingEndpoint(endpoint, endpointOptions, (connection) =>
      classifier.take(connection),
    );
    if (endpointOptions.dials !== undefined) set.expect(options.timeout, 'connecting');
    return new Connections(connections, classifier, set);
  }

  /** How many multifd channels are there. */
  get present(): number {
    return this.#set.present;
  }

  /** A channel beyond those agreed on, which was dropped because all of them were there. */
  get extra(): MultifdError | undefined {
    return this.#set.extra;
  }

  /**
   * When a second main channel was dropped that may have been another source's, one whose channels
   * are here; by `performance.now()`.
   */
  get rival(): number | undefined {
    return this.#set.rival;
  }

  /** The source has connected all its channels: those that are missing come soon or never. */
  expectSoon(): void {
    const { milliseconds, event } = FIRST_SYNC;
    this.#set.expect(milliseconds, event);
  }

  /** Resolves with the first multifd channel that comes. */
  get firstChannel(): Promise<void> {
    return this.#set.firstChannel;
  }

  /** The source has multifd off: no channel comes. */
  withoutChannels(): void {
    this.#set.withoutChannels();
  }

  /**
   * The source may go over to postcopy: from now on it may have a channel for urgent pages, which
   * begins with no magic, and come back after it has lost its connections.
   * @param onUrgent told of what may be that channel, with its first bytes.
   */
  expectPostcopy(onUrgent: (urgent: IdentifiedConnection) => void): void {
    this.#set.onUrgent = onUrgent;
    this.#classifier.expectOthers();
  }

  /** The main channel of a source that has come back, once it has. */
  comeBack(): Promise<IdentifiedConnection> {
    return this.#set.comeBack();
  }

  /** @param none asked when the time is over and no channel is here: whether none has to come. */
  onNone(none: () => boolean): void {
    this.#set.none = none;
  }

  /** The first sync is over: all connections of the source have come, or do so very soon. */
  synced(): void {
    this.#set.openUntil = performance.now() + GIVE_UP_MS;
  }

  /** Rejects every wait for a connection. */
  abandon(error: MultifdError): void {
    this.#set.reject(error);
  }

  /** Stops listening: a connection that comes now belongs to no migration under way. */
  close(): void {
    this.#connections.close();
    this.#classifier.close();
  }

  /** Stops listening, and closes every connection. */
  destroy(): void {
    this.close();
    this.#set.destroy();
  }
}

type ReceptionWay = Pick<IncomingEndpointOptions, 'timeout' | 'dials' | 'maxConnections'> & {
  onRejected: (why: string, code: ErrorCode) => void;
};

/** Tells a migration's connections apart. */
export function migrationClassifier(
  { timeout, dials, maxConnections, onRejected }: ReceptionWay,
  onClassified: (arrival: ClassifiedConnection) => void,
): ConnectionClassifier {
  return new ConnectionClassifier({
    // A peer that we have dialled may begin late, within the time for all of them together.
    timeout: dials === undefined ? timeout : Number.POSITIVE_INFINITY,
    maxUnknown: Math.max(maxConnections, dials ?? 0),
    magics: { main: STREAM_MAGIC, multifd: MAGIC },
    initialBytes: INITIAL_LENGTH,
    onClassified,
    onRejected,
  });
}

export type InitialChecker = (packet: Uint8Array) => number;

class ConnectionSet {
  readonly main: Promise<IdentifiedConnection>;
  readonly channels: Promise<IdentifiedConnection[]>;
  readonly failure: Promise<MultifdError>;
  /** See {@link Connections.extra}. */
  extra: MultifdError | undefined;
  /** Until when the source may come with more channels than agreed on, by `performance.now()`. */
  openUntil = Number.POSITIVE_INFINITY;
  /** See {@link Connections.rival}. */
  rival: number | undefined;
  /** See {@link Connections.expectPostcopy}. */
  onUrgent: ((urgent: IdentifiedConnection) => void) | undefined;
  #resolveBack: ((back: IdentifiedConnection) => void) | undefined;
  /** See {@link Connections.onNone}. */
  none: () => boolean = () => false;
  readonly #options: ConnectionsOptions;
  readonly #checkInitial: InitialChecker;
  readonly #how: Pick<IncomingEndpointOptions, 'dials' | 'onRejected'>;
  readonly #found: (IdentifiedConnection | undefined)[];
  readonly #connections = new Set<Connection>();
  /** Resolves with the first channel. */
  readonly firstChannel: Promise<void>;
  #resolveFirst!: () => void;
  #hasMain = false;
  #begun = false;
  #settled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer is due, by `performance.now()`. */
  #due = Number.POSITIVE_INFINITY;
  #resolveMain!: (identified: IdentifiedConnection) => void;
  #resolveChannels!: (connections: IdentifiedConnection[]) => void;
  #resolveFailure!: (error: MultifdError) => void;
  #rejectMain!: (error: MultifdError) => void;
  #rejectChannels!: (error: MultifdError) => void;

  constructor(
    options: ConnectionsOptions,
    checkInitial: InitialChecker,
    how: Pick<IncomingEndpointOptions, 'dials' | 'onRejected'>,
  ) {
    this.#options = options;
    this.#checkInitial = checkInitial;
    this.#how = how;
    this.#found = new Array<IdentifiedConnection | undefined>(options.channels).fill(undefined);
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
    this.firstChannel = new Promise((resolve) => {
      this.#resolveFirst = resolve;
    });
    // Each wait on them gets the error; there need not be one yet.
    this.main.catch(() => {});
    this.channels.catch(() => {});
  }

  get present(): number {
    return this.#found.filter((identified) => identified !== undefined).length;
  }

  get #complete(): boolean {
    return this.#hasMain && this.present === this.#found.length;
  }

  take(arrival: ClassifiedConnection): void {
    this.#connections.add(arrival.connection);
    try {
      if (arrival.kind === 'main') this.#takeMain(arrival);
      else if (arrival.kind === 'multifd') this.#takeChannel(arrival);
      else this.#takeOther(arrival);
    } catch (thrown) {
      this.#refuse(arrival, MultifdError.from(thrown));
    }
  }

  withoutChannels(): void {
    this.#found.length = 0;
    this.#resolveChannels([]);
    if (this.#complete) this.#settle();
  }

  /** A connection was dropped, which only counts where there are just as many as we have made. */
  drop(why: string, error: MultifdError): void {
    if (this.#how.dials === undefined) this.#how.onRejected(why);
    else this.reject(error);
  }

  /**
   * All that is missing has to come within so many milliseconds of `event`, which is now; sooner if
   * that was said before.
   */
  expect(milliseconds: number, event: string): void {
    const due = performance.now() + milliseconds;
    if (this.#settled || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      if (this.#hasMain && this.present === 0 && this.none()) return;
      this.reject(this.#missing(`within ${milliseconds / 1000} s of ${event}`));
    }, milliseconds);
  }

  destroy(): void {
    this.#settle();
    for (const connection of this.#connections) connection.destroy();
  }

  #takeMain({ connection, read }: ClassifiedConnection): void {
    if (this.#hasMain) {
      // All connections of a source are there before its first sync.
      if (performance.now() < this.openUntil) this.rival = performance.now();
      throw new Rival('ERR_CHANNEL_COUNT', 'a second main channel arrived: two sources at once?', {
        channel: 'main',
      });
    }
    this.#hasMain = true;
    this.#begin();
    this.#resolveMain({ connection, rest: read });
    if (this.#complete) this.#settle();
  }

  #takeChannel({ connection, read }: ClassifiedConnection): void {
    const id = this.#checkInitial(read);
    if (this.#found[id] !== undefined)
      throw new Rival('ERR_CHANNEL_ID', `channel ${id} arrived twice`, {
        channel: id,
        offset: INITIAL.id,
      });
    if (id >= this.#found.length)
      throw new Rival('ERR_CHANNEL_COUNT', 'it came behind pages on the main channel', {
        channel: id,
      });
    this.#found[id] = { connection, rest: read.slice(INITIAL_LENGTH) };
    this.#resolveFirst();
    this.#begin();
    const all = this.#found.filter((identified) => identified !== undefined);
    if (all.length === this.#found.length) this.#resolveChannels(all);
    if (this.#complete) this.#settle();
  }

  /** What begins with a COMMAND is a source that comes back; RAM words begin with 00. */
  #takeOther({ connection, read }: ClassifiedConnection): void {
    const identified = { connection, rest: read };
    if (read[0] === 0) {
      const take = this.onUrgent;
      this.onUrgent = undefined;
      if (take === undefined) throw new Rival('ERR_MAGIC', 'a second channel for urgent pages');
      return take(identified);
    }
    const back = this.#resolveBack;
    this.#resolveBack = undefined;
    if (back === undefined) throw new Rival('ERR_MAGIC', 'its source has not been missed');
    back(identified);
  }

  comeBack(): Promise<IdentifiedConnection> {
    return new Promise((resolve) => {
      this.#resolveBack = resolve;
    });
  }

  #refuse({ connection }: ClassifiedConnection, error: MultifdError): void {
    if (!(error instanceof Rival)) {
      const isExtra = error.code === 'ERR_CHANNEL_ID';
      if (!this.#complete || (isExtra && performance.now() < this.openUntil))
        return this.reject(error);
      if (isExtra) this.extra ??= error;
    }
    this.#connections.delete(connection);
    connection.destroy();
    this.drop(`dropped a connection from ${connection.peer}: ${error.message}`, error);
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.expect(this.#options.timeout, 'the first connection');
    this.#options.onFirst();
  }

  #settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
  }

  #missing(within: string): MultifdError {
    const { length } = this.#found;
    if (!this.#begun)
      return new MultifdError(
        'ERR_TIMEOUT',
        `the source said nothing ${within}: start its migration, or wait longer by a longer ` +
          'time-out',
      );
    if (!this.#hasMain)
      return new MultifdError('ERR_CHANNEL_COUNT', `the main channel did not arrive ${within}`, {
        channel: 'main',
      });
    return missingChannels(this.present, length, within);
  }

  reject(error: MultifdError): void {
    this.#settle();
    this.#resolveFailure(error);
    this.#rejectMain(error);
    this.#rejectChannels(error);
  }
}

/** An earlier connection has been taken for what this one says it is. */
export class Rival extends MultifdError {}

/** The error of a source with too few channels: how many have come, and what to set. */
export function missingChannels(present: number, channels: number, within: string): MultifdError {
  const what =
    present === 0
      ? "multifd is off at the source, or its connections don't get here; turn it on there " +
        '(QEMU: migrate_set_capability multifd on)'
      : 'set the same number at both ends (QEMU: migrate_set_parameter multifd-channels ' +
        `${channels}; or ${present} channels here)`;
  return new MultifdError(
    'ERR_CHANNEL_COUNT',
    `${present} of ${channels} channels arrived ${within}: ${what}`,
  );
}

/**
 * @param expected what initial packets have to agree with; without a uuid, the first packet's has
 *   to be every other's.
 * @returns a function that gives an initial packet's channel id, or throws what is wrong with the
 *   packet.
 */
export async function initialChecker(expected: {
  uuid: Uint8Array | undefined;
  channels: number;
}): Promise<InitialChecker> {
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
    if (refusal !== 0)
      throw packetError(refusal, view, { channel: id, offset: 0 }, 0, { uuid, channels });
    return id;
  };
}
