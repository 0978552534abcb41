import type { FileHandle } from 'node:fs/promises';
import { inTime } from '../util/deadline.ts';
import { lacksPackets } from '../migration/incoming/packet-numbers.ts';
import { type ErrorCode, MultifdError } from '../util/errors.ts';
import { trace } from '../util/trace.ts';
import { io, writeFully } from '../files/io.ts';
import {
  FIRST_SYNC,
  GIVE_UP_MS,
  type InitialChecker,
  missingChannels,
  Rival,
} from '../migration/incoming/connections.ts';
import { Watchdog } from '../migration/watchdog.ts';
import {
  ByteReader,
  Command,
  type MainStreamHandler,
  DEFAULT_PAGE_SIZE,
  parseMainStream,
  type RamBlock,
  returnMessage,
  TailScanner,
} from '../stream/index.ts';
import { sleep, turn } from '../util/timing.ts';
import { ConnectionInput } from '../transport/connection-io.ts';
import type { Connection } from '../transport/connection.ts';
import type { ClassifiedConnection } from '../transport/classify.ts';
import { ChannelProgress } from './channel-progress.ts';
import { FirstError } from './first-error.ts';
import { type ConnectionId, RETURN_PATH } from './recording.ts';
import type { OutputFolder } from './output-folder.ts';
import type { checkRecord } from './record.ts';
import { type RecordingStatistics, Traffic } from './report.ts';
import { StreamFile } from './stream-file.ts';

/** Bytes of a multifd channel that are read and written at a time. */
const CHUNK = 64 * 1024;
/**
 * How long connections may go on after the migration has failed, when what came is kept: a source
 * that gives up closes all of them.
 */
const LAST_BYTES_MS = 1_000;
/**
 * Where pages come on the main channel, multifd is off: channels that were asked for are here by
 * then, or never come. Milliseconds.
 */
const FIRST_PAGE = {
  milliseconds: 300,
  event: 'the first RAM page on the main channel, where pages come when multifd is off',
};
/** How long a source that has heard that all is well may take to end its connections. */
const LATE_BYTES_MS = 5_000;
/**
 * While everything is made to last, the source is told this often that the work goes on.
 */
const ALIVE_MS = 1_000;

/** What is wrong with a stream that is one, and may be understood by whoever replays it. */
const NOT_UNDERSTOOD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_STREAM',
  'ERR_UNSUPPORTED',
  'ERR_VERSION',
  'ERR_BLOCK',
  'ERR_BLOCK_LENGTH',
  'ERR_PAGE_OFFSET',
]);

/** A connection that is being recorded. */
interface Recorded {
  connection: Connection;
  input: ConnectionInput;
  /** Of a multifd channel: how far it has come. */
  progress: ChannelProgress | undefined;
  file: StreamFile | undefined;
  /** A chunk is on its way into the file. */
  writing: Promise<void> | undefined;
  ended: boolean;
  /** Resolves when all that came of it is in its file; never rejects. */
  drained: Promise<void>;
}

/**
 * One migration on its way into a folder.
 *
 * A source keeps its channels open until it has been told that all is well (SHUT on the return
 * path), and it is told when the recording has its name, and is on the disk. So what tells that a
 * channel has brought everything is its packets: as many with SYNC as the main stream has syncs.
 * What comes after that (state of a device that is no RAM may) is added, and on the disk before
 * {@link run} resolves. Channels whose packets can't be followed are not waited for.
 *
 * Which connections belong to it is decided as in {@link Connections}. Without a number of channels
 * to expect, all that come until the main stream's first sync, and {@link GIVE_UP_MS} after it, do.
 */
export class RecordSession {
  readonly #folder: OutputFolder;
  readonly #checkInitial: InitialChecker;
  readonly #checked: ReturnType<typeof checkRecord>;
  readonly #traffic = new Traffic();
  readonly #connections = new Map<ConnectionId, Recorded>();
  /** Connections that are refused are closed with all others. */
  readonly #refused: Connection[] = [];
  readonly #first = new FirstError();
  readonly #streamed: Promise<void>;
  #endStream!: () => void;
  #hasStreamed = false;
  /** Syncs of the main stream so far. */
  #syncs = 0;
  /** Until when the source's own connections may come, by `performance.now()`. */
  #openUntil = Number.POSITIVE_INFINITY;
  /** When a second main channel was dropped that may have been another source's. */
  #rival: number | undefined;
  #late: NodeJS.Timeout | undefined;
  /** When it is too late for channels that are missing, by `performance.now()`. */
  #due = Number.POSITIVE_INFINITY;
  /** The main stream has begun as one does. */
  #begun = false;
  /** Bytes per page, once the stream or a packet has told it, or the caller has. */
  #told: number | undefined;
  /** Resolves when nothing more is expected; asked for when the main stream is complete. */
  #resolveWhole = (): void => {};
  /** While everything is made to last nothing is added. */
  #held: Promise<void> | undefined;
  /** All has come; what is still read came behind it. */
  #complete = false;
  #committing = false;
  /** Where the answers are kept; undefined as long as the source has not asked for any. */
  #answers: FileHandle | undefined;
  #answerBytes = 0;
  /** Of all blocks, in bytes, once they are known. */
  #ramLength: number | undefined;
  /** Pages that came on the main channel. */
  #mainPages = 0;

  constructor(
    folder: OutputFolder,
    checkInitial: InitialChecker,
    checked: ReturnType<typeof checkRecord>,
  ) {
    this.#folder = folder;
    this.#checkInitial = checkInitial;
    this.#checked = checked;
    this.#told = checked.pageSize;
    this.#streamed = new Promise((resolve) => {
      this.#endStream = resolve;
    });
  }

  /** A connection came; until {@link run} ends, any number of them may. */
  take(arrival: ClassifiedConnection): void {
    try {
      this.#open(arrival);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (this.#isRejected(error)) {
        arrival.connection.destroy();
        return this.#checked.onRejected(
          `dropped a connection from ${arrival.connection.peer}: ${error.message}`,
        );
      }
      this.#refused.push(arrival.connection);
      this.#first.fail(error);
    }
  }

  /**
   * Waits for the migration, and gives the folder its name.
   * @param stopListening called when nothing more is expected.
   * @throws MultifdError: the first thing that went wrong. Unless it is to be kept, nothing is
   *   left then; what has come whole, and could not be given its name or be put on the disk, stays
   *   under a hidden name, which the error says.
   */
  async run(stopListening: () => void): Promise<RecordingStatistics> {
    try {
      await this.#first.race(this.#finishWatched(stopListening));
      this.#hangUp();
    } catch (thrown) {
      stopListening();
      await this.#giveUp(MultifdError.from(thrown));
      throw thrown;
    } finally {
      clearTimeout(this.#late);
      this.#traffic.end();
      this.#checked.onProgress(this.#snapshot());
    }
    return this.#snapshot();
  }

  #snapshot(): RecordingStatistics {
    const total = this.#ramLength;
    if (total === undefined) return this.#traffic.snapshot();
    const pages = [...this.#connections.values()].reduce(
      (sum, { progress }) => sum + (progress?.pages ?? 0),
      this.#mainPages,
    );
    // In later rounds pages come again.
    const remaining = Math.max(0, total - pages * (this.#told ?? DEFAULT_PAGE_SIZE));
    return this.#traffic.snapshot({ total, remaining });
  }

  #open({ kind, connection, read }: ClassifiedConnection): void {
    const id = kind === 'main' ? 'main' : this.#checkInitial(read);
    if (this.#connections.has(id)) {
      if (id === 'main' && performance.now() < this.#openUntil) this.#rival = performance.now();
      throw id === 'main'
        ? new Rival('ERR_CHANNEL_COUNT', 'a second main channel arrived: two sources at once?', {
            channel: id,
          })
        : new Rival('ERR_CHANNEL_ID', `channel ${id} arrived twice`, { channel: id });
    }
    if (this.#checked.channels === undefined && performance.now() >= this.#openUntil)
      throw new Rival('ERR_CHANNEL_COUNT', 'all connections are there', { channel: id });
    const input = new ConnectionInput(connection, id, read, 0, (bytes) =>
      this.#traffic.add(id, bytes),
    );
    this.#traffic.open(id);
    const recorded: Recorded = {
      connection,
      input,
      progress: id === 'main' ? undefined : new ChannelProgress(),
      file: undefined,
      writing: undefined,
      ended: false,
      drained: Promise.resolve(),
    };
    this.#connections.set(id, recorded);
    recorded.drained = this.#drain(id, recorded).catch((thrown) => this.#lost(thrown));
    if (this.#first.error !== undefined) input.stop();
  }

  /** Whether a connection that does not belong to it is dropped without failing the recording. */
  #isRejected(error: MultifdError): boolean {
    return (
      error instanceof Rival ||
      performance.now() >= this.#openUntil ||
      (error.code !== 'ERR_CHANNEL_ID' && this.#allThere)
    );
  }

  get #allThere(): boolean {
    return (
      this.#checked.channels !== undefined &&
      this.#connections.has('main') &&
      this.#connections.size === 1 + this.#checked.channels
    );
  }

  /** Everything has come and is kept: the main stream is complete, and all channels are. */
  async #finishWatched(stopListening: () => void): Promise<void> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watchdog({
      signal,
      timeout,
      progress: () =>
        this.#traffic.started && this.#held === undefined ? this.#traffic.transferred : undefined,
      fail: this.#first.fail,
      onLook: () => {
        if (this.#traffic.started) onProgress(this.#snapshot());
      },
    });
    try {
      await this.#first.race(this.#streamed);
      for (let seen = -1; seen !== this.#connections.size; ) {
        seen = this.#connections.size;
        await this.#first.race(
          this.#answers === undefined
            ? this.#drained()
            : Promise.race([this.#drained(), this.#whole()]),
        );
        // A channel that was connected last may be waiting to be seen.
        await turn();
        await turn();
      }
      await this.#demandOneSource();
      this.#checkChannels();
    } finally {
      watch.stop();
    }
    stopListening();
    // One that came while what has come was looked at: run() gives up already.
    if (this.#first.error !== undefined) throw this.#first.error;
    await this.#commit();
    // What else comes of a source that has heard that all is well is taken, but not waited for
    // without end.
    await inTime(this.#drained(), LATE_BYTES_MS);
    await this.#settle();
  }

  /** Makes it last, and only then says so. */
  async #commit(): Promise<void> {
    this.#complete = true;
    const main = this.#connections.get('main')!;
    const say = (message: Uint8Array): void => {
      // the reader is told
      if (main.connection.writable) void main.connection.write([message], () => {}).catch(() => {});
    };
    let release = (): void => {};
    this.#held = new Promise((resolve) => {
      release = resolve;
    });
    const alive =
      this.#answers && setInterval(() => say(returnMessage({ type: 'pong', value: 0 })), ALIVE_MS);
    try {
      for (const { writing, file } of this.#connections.values()) {
        await writing;
        await file?.finish();
      }
      this.#committing = true;
      await this.#folder.commit();
      for (const { file, ended } of this.#connections.values())
        if (!ended) await file?.resume(this.#folder);
      if (this.#answers === undefined) return;
      // What has been told is what is kept.
      this.#answers = await this.#folder.reopen(RETURN_PATH);
      const shut = returnMessage({ type: 'shut', status: 0 });
      await this.#keepAnswer(shut);
      await io(`write ${RETURN_PATH} to the disk`, this.#answers.sync());
      clearInterval(alive);
      await main.connection.closeWith(shut, false);
    } finally {
      clearInterval(alive);
      this.#held = undefined;
      release();
    }
  }

  /** A connection that has not ended by now has nothing to add. */
  async #settle(): Promise<void> {
    for (const { input } of this.#connections.values()) input.stop();
    await this.#drained();
    if (this.#first.error !== undefined) throw this.#first.error;
    await this.#folder.settle();
  }

  /** Once all has come, a source may end its connections as it likes. */
  #lost(thrown: unknown): void {
    if (this.#complete && MultifdError.from(thrown).code === 'ERR_PEER_CLOSED') return;
    this.#first.fail(thrown);
  }

  async #drain(id: ConnectionId, recorded: Recorded): Promise<void> {
    const { connection, input, progress } = recorded;
    const file = await StreamFile.create(this.#folder, id);
    recorded.file = file;
    const append = async (chunk: Uint8Array): Promise<void> => {
      await this.#held;
      recorded.writing = file.append(chunk, this.#traffic.milliseconds);
      await recorded.writing;
      progress?.feed(chunk, this.#told);
      this.#told ??= progress?.pageSize;
      this.#checkWhole();
    };
    const read = async (into: Uint8Array): Promise<number> => {
      const count = await input.read(into);
      if (count > 0) await append(into.subarray(0, count));
      return count;
    };
    try {
      if (id === 'main') await this.#follow(connection, read);
      const chunk = new Uint8Array(CHUNK);
      while ((await read(chunk)) > 0);
    } finally {
      await this.#held;
      recorded.ended = true;
      await file.finish();
    }
    const { broken } = connection;
    if (broken !== undefined && id !== 'main') {
      throw new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${broken.message}`, {
        channel: id,
        offset: input.offset,
        cause: broken,
      });
    }
  }

  /** Reads the main stream to its end, for what it asks, and notes that it has come. */
  async #follow(
    connection: Connection,
    read: (into: Uint8Array) => Promise<number>,
  ): Promise<void> {
    const { pageSize } = this.#checked;
    // Nothing is kept of blocks and device sections, so that they may have any length.
    const limits = { maxBytes: Number.MAX_SAFE_INTEGER, maxTail: Number.MAX_SAFE_INTEGER };
    const options = { ...limits, ...(pageSize !== undefined && { pageSize }) };
    // What is read ahead of what could not be understood is looked at once more.
    let last: Uint8Array = new Uint8Array(0);
    const source = async (into: Uint8Array): Promise<number> => {
      const count = await read(into);
      last = into.slice(0, count);
      return count;
    };
    try {
      await parseMainStream(new ByteReader({ read: source }), this.#answering(connection), options);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (!this.#begun || !NOT_UNDERSTOOD.has(error.code)) throw error;
      await this.#followBlindly(last, read, error);
    }
    if (this.#first.error !== undefined) return;
    this.#hasStreamed = true;
    this.#endStream();
  }

  /**
   * Keeps a stream that can't be followed any more, up to its description or the connection's end.
   * @param first the last bytes of what was read.
   * @throws the error, if it ends like no stream.
   */
  async #followBlindly(
    first: Uint8Array,
    read: (into: Uint8Array) => Promise<number>,
    error: MultifdError,
  ): Promise<void> {
    trace('target', () => `kept, and not understood from here on: ${error.message}`);
    const scanner = new TailScanner([], true);
    const chunk = new Uint8Array(CHUNK);
    for (let bytes = first; !scanner.complete; ) {
      scanner.feed(bytes);
      if (scanner.complete) return;
      const count = await read(chunk);
      if (count === 0) break;
      bytes = chunk.subarray(0, count);
    }
    if (!scanner.endsWithMark) throw error;
  }

  #answering(connection: Connection): MainStreamHandler {
    const sync = (): void => {
      if (this.#syncs++ > 0) return;
      this.#openUntil = performance.now() + GIVE_UP_MS;
      this.#expectChannels(FIRST_SYNC);
    };
    const measure = (blocks: readonly RamBlock[]): void => {
      this.#ramLength = blocks.reduce((sum, { usedLength }) => sum + usedLength, 0);
    };
    const pong = async (value: number): Promise<void> => {
      if (this.#answers === undefined) return;
      const message = returnMessage({ type: 'pong', value });
      await this.#keepAnswer(message);
      // the reader is told
      if (connection.writable) await connection.write([message], () => {}).catch(() => {});
    };
    let postcopy = false;
    return {
      configuration: () => {
        this.#begun = true;
      },
      command: async ({ command, data }) => {
        if (command === Command.OPEN_RETURN_PATH)
          this.#answers ??= await this.#folder.file(RETURN_PATH);
        if (command === Command.PING)
          await pong(new DataView(data.buffer, data.byteOffset).getUint32(0));
      },
      other() {},
      blocks: (blocks, pageSize) => {
        this.#told = pageSize ?? this.#told;
        measure(blocks);
      },
      pageSize: () => this.#told,
      resize: measure,
      zeroPage: () => {
        this.#mainPages++;
      },
      page: (_block, _offset, bytes) => {
        this.#told = bytes.length;
        this.#mainPages++;
        if (this.#connections.size === 1) this.#expectChannels(FIRST_PAGE);
      },
      flush: sync,
      // In postcopy the channels rest.
      endOfSection: (_, syncMode) => (syncMode === 'per-section' && !postcopy ? sync() : undefined),
      discard() {},
      async packaged(pings) {
        postcopy = true;
        for (const value of pings) await pong(value);
      },
      tail() {},
    };
  }

  async #keepAnswer(message: Uint8Array): Promise<void> {
    if (this.#answers === undefined) return;
    await writeFully(this.#answers, message, this.#answerBytes);
    this.#answerBytes += message.length;
  }

  /**
   * Channels that were asked for, and are missing, have to come soon: the source has connected all
   * it has.
   */
  #expectChannels({ milliseconds, event }: typeof FIRST_SYNC): void {
    const { channels = 0 } = this.#checked;
    const due = performance.now() + milliseconds;
    if (this.#connections.size > channels || due >= this.#due) return;
    clearTimeout(this.#late);
    this.#due = due;
    this.#late = setTimeout(() => {
      const present = this.#connections.size - 1;
      if (present < channels)
        this.#first.fail(
          missingChannels(present, channels, `within ${milliseconds / 1000} s of ${event}`),
        );
    }, milliseconds);
  }

  /** Resolves when every channel has reached the last sync, and none is missing. */
  #whole(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolveWhole = resolve;
      this.#checkWhole();
    });
  }

  #checkWhole(): void {
    if (!this.#hasStreamed) return;
    const all = [...this.#connections.values()].flatMap(({ progress }) => progress ?? []);
    if (this.#checked.channels !== undefined && all.length < this.#checked.channels) return;
    if (all.every(({ lost, syncs }) => lost || syncs >= this.#syncs) && !this.#lacksPackets(all))
      this.#resolveWhole();
  }

  /** Whether packets are missing, where all that came are such. */
  #lacksPackets(all: readonly ChannelProgress[]): boolean {
    return !all.some(({ lost }) => lost) && lacksPackets(all);
  }

  /**
   * As for a migration that is received: a second source, whose channels were taken for those of
   * the first, ends them when it has lost its main one.
   */
  async #demandOneSource(): Promise<void> {
    if (this.#rival === undefined) return;
    await this.#first.race(sleep(this.#rival + GIVE_UP_MS - performance.now()));
    for (const [id, { ended }] of this.#connections) {
      if (id !== 'main' && ended)
        throw new MultifdError(
          'ERR_CHANNEL_COUNT',
          'two main channels arrived, and this channel ended after one was dropped: two ' +
            'sources at once?',
          { channel: id },
        );
    }
  }

  /** A recording without one of its channels could not be replayed. */
  #checkChannels(): void {
    const { channels } = this.#checked;
    const ids = [...this.#connections.keys()].filter((id) => id !== 'main');
    if (channels !== undefined && ids.length !== channels) {
      throw new MultifdError(
        'ERR_CHANNEL_COUNT',
        `${ids.length} of ${channels} channels arrived: set the same number at both ends`,
      );
    }
    const missing = ids.findIndex((_, id) => !this.#connections.has(id));
    if (
      missing < 0 &&
      this.#lacksPackets([...this.#connections.values()].flatMap(({ progress }) => progress ?? []))
    ) {
      throw new MultifdError(
        'ERR_CHANNEL_COUNT',
        `the packets that came on ${ids.length} channels are not all that the source has ` +
          'numbered: it has another channel, which did not arrive',
      );
    }
    if (missing >= 0)
      throw new MultifdError(
        'ERR_CHANNEL_COUNT',
        `channel ${missing} did not arrive, but one with a higher id did`,
        { channel: missing },
      );
  }

  /**
   * Leaves the folder without a name, or with what came so far if that is wanted; tells the source.
   */
  async #giveUp(error: MultifdError): Promise<void> {
    const { keep } = this.#checked;
    this.#first.fail(error);
    if (keep && error.code !== 'ERR_CANCELLED') await inTime(this.#drained(), LAST_BYTES_MS);
    for (const { input } of this.#connections.values()) input.stop();
    await this.#drained();
    const main = this.#connections.get('main');
    if (main !== undefined && this.#answers !== undefined)
      await main.connection.closeWith(returnMessage({ type: 'shut', status: 1 }), true);
    this.#hangUp();
    // The error that counts is there already. What has its name, or could not be given it, stays as
    // it is.
    if (keep && this.#connections.size > 0 && !this.#committing)
      await this.#folder.commit().catch(() => {});
    else await this.#folder.discard();
  }

  async #drained(): Promise<void> {
    await Promise.all([...this.#connections.values()].map(({ drained }) => drained));
  }

  #hangUp(): void {
    for (const { connection } of this.#connections.values()) connection.destroy();
    for (const connection of this.#refused) connection.destroy();
  }
}
