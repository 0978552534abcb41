import { isZero } from '../../util/bytes.ts';
import { cancelledBy, MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import {
  ByteReader,
  Command,
  DEFAULT_PAGE_SIZE,
  machineRules,
  type MainStreamHandler,
  MIN_PAGE_SIZE,
  parseMainStream,
  type RamBlock,
  type RamSectionKind,
  returnMessage,
  type StreamCommand,
  type SyncMode,
} from '../../stream/index.ts';
import { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import { inTime, LATE } from '../../util/deadline.ts';
import { sleep, turn } from '../../util/timing.ts';
import { ConnectionInput } from '../../transport/connection-io.ts';
import type { Connection } from '../../transport/connection.ts';
import type { IncomingSink } from '../../blocks/targets.ts';
import type { StatisticsCollector } from '../statistics.ts';
import { Counter } from '../../blocks/batcher.ts';
import { Watchdog } from '../watchdog.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';
import { type Connections, GIVE_UP_MS } from './connections.ts';
import { IncomingPostcopy, neverBack } from './postcopy.ts';
import { countNumbered, lacksPackets } from './packet-numbers.ts';
import { channelsPageSize } from './page-size.ts';
import { ReceivePipeline } from './pipeline.ts';
import type { CheckedIncoming } from './options.ts';

/** While the target makes everything last, it tells the source this often that it is alive. */
const ALIVE_MS = 1_000;

/**
 * Zero pages of the main channel that are kept while channels are missing: a source without multifd
 * sends nothing else until it has a page with content.
 */
const MAX_AHEAD = 1 << 16;
/**
 * So long after its block list a source's first channel may be on its way, in milliseconds: it has
 * connected before that.
 */
const FIRST_CHANNEL_MS = 300;
/** The same of postcopy's channel for urgent pages, once all others have come. */
const URGENT_MS = 1_000;

/**
 * The incoming end over connections. The main channel is parsed in order; at each sync it waits for
 * every channel, and each channel waits for it: no page of a round is applied before all of the
 * round before.
 */
export class IncomingSession {
  readonly #sink: IncomingSink;
  readonly #checked: CheckedIncoming;
  readonly #statistics: StatisticsCollector;
  readonly #connections: Connections;
  readonly #failed: Promise<never>;
  #reject!: (error: MultifdError) => void;
  #pipeline: ReceivePipeline | undefined;
  /**
   * Resolves when the channels are at work, and what the main channel said before that has been
   * done.
   */
  #launched: Promise<void> | undefined;
  #hasLaunched = false;
  /** What the main channel has said since its block list, while there were no channels. */
  readonly #ahead: ('sync' | { block: number; offset: number })[] = [];
  #blocks: readonly RamBlock[] = [];
  /** Bytes per page, as the source has told it or the caller has. */
  #told: number | undefined;
  /** The source has multifd off. */
  #channelless = false;
  #postcopy: IncomingPostcopy | undefined;
  /** The source is waited for, which has gone in the middle of postcopy. */
  #paused = false;
  /** Postcopy's channel for urgent pages, and how it is read, once there are both. */
  #urgent: IdentifiedConnection | undefined;
  #readUrgent: ((reader: ByteReader) => Promise<void>) | undefined;
  #beginUrgent = (): void => {};
  readonly #urgentBegun = new Promise<void>((resolve) => {
    this.#beginUrgent = resolve;
  });
  #urgentEnd: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  #hasReturnPath = false;
  #connection: Connection | undefined;
  #input: ConnectionInput | undefined;
  #unwatch = (): void => {};
  #threads: PrestartedWorkers | undefined;
  /** The source waits for SWITCHOVER_ACK. */
  #acknowledges = false;
  #error: MultifdError | undefined;

  constructor(
    connections: Connections,
    sink: IncomingSink,
    checked: CheckedIncoming,
    statistics: StatisticsCollector,
  ) {
    this.#connections = connections;
    this.#sink = sink;
    this.#checked = checked;
    this.#statistics = statistics;
    this.#failed = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.#failed.catch(() => {}); // each wait on it gets the error
    // A source with multifd has connected its channels before it names its blocks.
    connections.onNone(() => {
      if (this.#blocks.length > 0) this.#withoutChannels(this.#zeroPageSize());
      return this.#channelless;
    });
  }

  /**
   * @throws MultifdError: the first thing that went wrong. The sink is discarded then, and the
   *   source told.
   */
  async run(): Promise<void> {
    try {
      if (this.#sink.reachable && !this.#checked.inline) this.#startThreads();
      trace('target', 'wait for a source');
      await this.#receive();
      await this.#commit();
      // Only now, with everything in place, does the source hear that it may let go.
      await this.#tell();
      trace('target', 'completed');
    } catch (thrown) {
      this.#fail(MultifdError.from(thrown));
      trace('target', () => `roll-back: ${this.#error?.code}: ${this.#error?.message}`);
      // Nothing may touch the sink any more once it is discarded.
      await this.#launched?.catch(() => {});
      await this.#pipeline?.receivers.group.join();
      await this.#closeWith();
      await this.#sink.discard();
      throw this.#error;
    } finally {
      this.#connections.destroy();
      await this.#threads?.close();
    }
  }

  /**
   * While there is no source yet: threads take some ten milliseconds of a processor to start, which
   * its own will want then.
   */
  #startThreads(): void {
    this.#threads = new PrestartedWorkers(
      this.#checked.worker('receive'),
      this.#checked.channels,
      'multifd channel',
    );
  }

  /** Ends every wait, so that {@link #receive} ends. The first error is the one that counts. */
  #fail(error: MultifdError): void {
    // The error that comes instead is heard of by the group's failure.
    if (this.#pipeline?.receivers.group.failing) return;
    this.#error ??= this.#explain(error);
    this.#reject(this.#error);
    this.#pipeline?.receivers.group.fail(error);
    this.#connections.abandon(error);
    this.#input?.stop();
  }

  async #receive(): Promise<void> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watchdog({
      signal,
      timeout,
      progress: () =>
        this.#statistics.started && !this.#paused ? this.#statistics.transferred : undefined,
      fail: (error) => this.#fail(error),
      onLook: () => {
        if (this.#statistics.started) onProgress(this.#statistics.snapshot());
      },
    });
    void this.#connections.failure.then((error) => this.#fail(error));
    try {
      await this.#parse(await this.#connections.main);
      await this.#launched;
      // A second source, or one with more channels than agreed, has opened them by now: let what
      // has arrived be seen.
      await turn();
      await turn();
      await this.#demandOneSource();
      if (this.#postcopy?.running !== true) await this.#finishChannels();
      this.#connections.close();
    } finally {
      watch.stop();
    }
    if (this.#error !== undefined) throw this.#error;
    this.#statistics.end();
  }

  /**
   * Two sources at once can each have got a place: the one that has lost its main channel gives up,
   * and its other connections end. So where one was dropped, all channels have to stand some time
   * after that.
   */
  async #demandOneSource(): Promise<void> {
    const { rival } = this.#connections;
    if (rival === undefined) return;
    await this.#unlessFailed(sleep(rival + GIVE_UP_MS - performance.now()));
    const { arena } = this.#pipeline!.receivers.group;
    const ended = [...arena.channels.keys()].find((id) => arena.isSet(id, 'ENDED'));
    if (ended === undefined) return;
    throw new MultifdError(
      'ERR_CHANNEL_COUNT',
      'two main channels arrived, and this channel ended after one was dropped: two sources ' +
        'at once?',
      { channel: ended },
    );
  }

  #demandAllPackets(): void {
    const channels = this.#pipeline!.receivers.group.arena.channels.map(({ counters }) => ({
      numbered: counters[Counter.PACKETS]!,
      numbers: counters[Counter.NUMBERS]!,
      merged: counters[Counter.MERGED] === 1,
    }));
    if (!lacksPackets(channels)) return;
    const { extra } = this.#connections;
    throw (
      extra ??
      new MultifdError(
        'ERR_CHANNEL_COUNT',
        `${countNumbered(channels)} packets came on ${channels.length} channels, and the source ` +
          `has numbered ${Math.max(...channels.map(({ numbers }) => numbers))}: it has more ` +
          'channels; set the same number at both ends',
      )
    );
  }

  /** A source that loses one of its connections gives up: the reason is what it had too much of. */
  #explain(error: MultifdError): MultifdError {
    const { extra } = this.#connections;
    if (extra === undefined || (error.code !== 'ERR_PEER_CLOSED' && error.code !== 'ERR_TIMEOUT'))
      return error;
    return new MultifdError(
      extra.code,
      `${extra.message}; it was dropped, as all channels agreed on were there, and then: ` +
        `${error.message}`,
      { cause: error },
    );
  }

  /** `work`, unless the migration fails before: it may be the caller's own, and never end. */
  #unlessFailed<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed]);
  }

  /**
   * Makes everything last, and starts what is to run. Until it has, the source is at work still.
   */
  async #commit(): Promise<void> {
    const alive = setInterval(() => this.#say({ type: 'pong', value: 0 }), ALIVE_MS);
    try {
      trace('target', 'commit');
      await this.#commitSink();
      if (this.#sink.start !== undefined) await this.#start(this.#sink);
    } finally {
      clearInterval(alive);
    }
  }

  async #commitSink(): Promise<void> {
    const pipeline = this.#pipeline!;
    const committed = Promise.resolve(
      this.#sink.commit({ deviceState: pipeline.deviceState, bitmaps: pipeline.bitmaps() }),
    );
    if (!this.#sink.leavable) return committed;
    const { signal } = this.#checked;
    const cancel = (): void => this.#fail(cancelledBy(signal));
    signal.addEventListener('abort', cancel);
    try {
      if (signal.aborted) cancel();
      await this.#unlessFailed(committed);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /**
   * From here on there may be a program that runs, so that nothing but its own start fails the
   * migration any more.
   */
  async #start(sink: IncomingSink): Promise<void> {
    const connection = this.#connection!;
    await this.#probe();
    const { signal } = this.#checked;
    if (signal.aborted) throw cancelledBy(signal);
    if (this.#error !== undefined) throw this.#error;
    // A source that has lost its target resumes the guest there.
    if (connection.closed)
      throw new MultifdError(
        'ERR_PEER_CLOSED',
        'the source has closed the connection before it could be told that all is well',
        { channel: 'main' },
      );
    this.#unwatch();
    await sink.start?.();
  }

  async #parse({ connection, rest }: IdentifiedConnection): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { givenPageSize, maxBytes, maxDeviceState: maxTail, uuid } = this.#checked;
    const input = this.#attach({ connection, rest });
    const hasUuid = uuid.some((byte) => byte !== 0);
    const pageSize = givenPageSize;
    const options = {
      maxBytes,
      maxTail,
      ...(pageSize !== undefined && { pageSize }),
      ...(hasUuid && { uuid }),
    };
    await parseMainStream(new ByteReader(input), this.#handler(), options);
  }

  /** Reads the main channel from this connection. */
  #attach({ connection, rest }: IdentifiedConnection): ConnectionInput {
    const input = new ConnectionInput(connection, 'main', rest, 0, (bytes) => {
      this.#statistics.mainBytes += bytes;
    });
    this.#connection = connection;
    this.#input = input;
    // While the channels are waited for nothing reads here, so a break would not be noticed. (An
    // end is no break: the source may have sent all it has to send.) In postcopy the reader sees
    // it, and waits for the source.
    this.#unwatch = connection.onBroken((cause) => {
      if (this.#postcopy?.running) return;
      this.#fail(
        new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${cause.message}`, {
          channel: 'main',
          offset: input.offset,
          cause,
        }),
      );
    });
    return input;
  }

  #handler(): MainStreamHandler {
    return {
      configuration: (configuration) => {
        trace('target', () => `configuration: machine ${configuration.machine}`);
        this.#acknowledges =
          this.#checked.switchoverAck &&
          machineRules(configuration.machine).switchoverAck === 'return path';
        return this.#sink.configuration(configuration);
      },
      command: (command) => this.#command(command),
      other: ({ place }, chunk) => this.#sink.other(place, chunk),
      blocks: async (blocks, pageSize) => {
        trace('target', () => `start: ${blocks.length} blocks`);
        this.#blocks = blocks;
        this.#told = pageSize;
        this.#launched = this.#launch(blocks);
        this.#launched.catch((thrown: unknown) => this.#fail(MultifdError.from(thrown)));
        // What comes next may tell why channels are missing.
        if (this.#allChannels) await this.#launched;
      },
      pageSize: async () => {
        if (!(await this.#hasChannels())) return undefined;
        await this.#launched;
        return this.#statistics.pageSize;
      },
      resize: async (blocks) => {
        trace('target', 'resize');
        await this.#launched;
        await this.#unlessFailed(this.#pipeline!.resize(blocks, this.#sink));
        if (this.#error !== undefined) throw this.#error;
        this.#statistics.blocks = [...blocks];
      },
      zeroPage: (block, offset) => {
        this.#statistics.mainDuplicate++;
        if (this.#hasLaunched) return this.#zeroPage(block, offset);
        if (this.#ahead.length < MAX_AHEAD) return void this.#ahead.push({ block, offset });
        return this.#afterLaunch(() => this.#zeroPage(block, offset));
      },
      page: (block, offset, bytes) => {
        this.#statistics.mainNormal++;
        if (this.#hasLaunched) return this.#page(block, offset, bytes);
        // With multifd hardly one comes here: most likely the source has it off.
        return this.#afterLaunch(() => this.#page(block, offset, bytes), bytes.length);
      },
      flush: async () => {
        this.#expectAll();
        await this.#launched;
        await this.#sync();
      },
      endOfSection: (kind, syncMode) => this.#endOfSection(kind, syncMode),
      discard: async (block, offset, length) => {
        await this.#afterLaunch(() => {});
        this.#statistics.postcopy();
        this.#inPostcopy.discard(block, offset, length);
      },
      packaged: async (pings, urgent) => {
        await this.#afterLaunch(() => {});
        await this.#finishChannels();
        this.#readUrgent = urgent;
        this.#startUrgent();
        this.#statistics.postcopy();
        this.#inPostcopy.start(pings);
      },
      reconnect: (lost) => this.#awaitReturn(lost),
      tail: async (chunk) => {
        await this.#afterLaunch(() => {});
        await this.#sink.tail(chunk);
      },
    };
  }

  #command({ command, data }: StreamCommand): void {
    if (command === Command.OPEN_RETURN_PATH) {
      this.#hasReturnPath = true;
      // What comes is taken as it comes: there is nothing here that a source would have to wait
      // for.
      if (this.#acknowledges) this.#say({ type: 'switchover-ack' });
    }
    if (command === Command.PING)
      this.#say({
        type: 'pong',
        value: new DataView(data.buffer, data.byteOffset).getUint32(0),
      });
    if (command === Command.POSTCOPY_ADVISE) this.#expectUrgent();
    if (command === Command.RECV_BITMAP) this.#postcopy?.tellReceived(data);
    if (command === Command.POSTCOPY_RESUME && this.#postcopy?.running)
      this.#say({ type: 'resume-ack' });
  }

  get #inPostcopy(): IncomingPostcopy {
    this.#postcopy ??= new IncomingPostcopy({
      blocks: this.#blocks,
      pageSize: this.#statistics.pageSize,
      say: (message) => this.#say(message),
    });
    return this.#postcopy;
  }

  #expectUrgent(): void {
    this.#connections.expectPostcopy((urgent) => {
      this.#urgent = urgent;
      this.#startUrgent();
    });
  }

  /** No more packets come: what the channels have brought is all of it. */
  async #finishChannels(): Promise<void> {
    await this.#pipeline!.receivers.finish();
    this.#demandAllPackets();
  }

  /** Reads the channel for urgent pages, once it is here and the device sections are. */
  #startUrgent(): void {
    if (this.#urgent === undefined || this.#readUrgent === undefined) return;
    trace('target', 'a channel for urgent pages');
    const { connection, rest } = this.#urgent;
    const input = new ConnectionInput(connection, 'main', rest, 0, (bytes) => {
      this.#statistics.mainBytes += bytes;
    });
    this.#beginUrgent();
    this.#urgentEnd = this.#readUrgent(new ByteReader(input)).catch((thrown: unknown) => {
      const error = MultifdError.from(thrown);
      // A source that is lost sends again what was on its way.
      if (error.code !== 'ERR_PEER_CLOSED') this.#fail(error);
    });
  }

  /** Postcopy: the source has gone, and pauses; only it has the pages that are missing. */
  async #awaitReturn(lost: Error): Promise<ConnectionInput> {
    const { recoveryTimeout, onPaused } = this.#checked;
    const { missing } = this.#inPostcopy;
    trace('target', () => `postcopy: the source is gone, with ${missing} pages missing`);
    this.#unwatch();
    this.#connection!.destroy();
    this.#paused = true;
    onPaused(`${lost.message}; ${missing} pages are missing: waiting for it to come back`);
    const back = await this.#unlessFailed(inTime(this.#connections.comeBack(), recoveryTimeout));
    if (back === LATE) throw neverBack(lost, missing, recoveryTimeout);
    trace('target', 'postcopy: the source is back');
    this.#paused = false;
    this.#expectUrgent();
    return this.#attach(back);
  }

  async #endOfSection(kind: RamSectionKind, syncMode: SyncMode): Promise<void> {
    if (kind === 'end' && this.#postcopy?.running) {
      // What was sent there first may come after this.
      if (this.#postcopy.missing > 0)
        await this.#unlessFailed(inTime(this.#urgentBegun, URGENT_MS));
      if (this.#urgentEnd !== undefined) await this.#unlessFailed(this.#urgentEnd);
      return this.#postcopy.demandAll();
    }
    if (kind === 'end') await this.#afterLaunch(() => {});
    // In postcopy all pages come on this channel, and the others rest.
    if (syncMode === 'per-round' || this.#postcopy?.running || this.#channelless) return;
    const { present } = this.#connections;
    if (!this.#hasLaunched && (present === 0 || !this.#ahead.includes('sync'))) {
      // A source without multifd ends its sections like this as well.
      if (!this.#ahead.includes('sync')) void this.#connections.firstChannel.then(this.#expectAll);
      if (this.#ahead.length < MAX_AHEAD) return void this.#ahead.push('sync');
      return this.#afterLaunch(() => (this.#channelless ? undefined : this.#sync()));
    }
    await this.#launched;
    await this.#sync();
  }

  readonly #expectAll = (): void => {
    if (!this.#allChannels) this.#connections.expectSoon();
  };

  get #allChannels(): boolean {
    return this.#connections.present === this.#checked.channels;
  }

  /** A page that came on the main channel. */
  #page(block: number, offset: number, bytes: Uint8Array): void | Promise<void> {
    // With multifd on, QEMU 11.1 does not look for zero pages in postcopy, and sends them whole.
    if (this.#postcopy?.running && isZero(bytes)) return this.#zeroPage(block, offset);
    this.#postcopy?.take(block, offset);
    return this.#inTurn(() => this.#pipeline!.page(block, offset, bytes));
  }

  #zeroPage(block: number, offset: number): void | Promise<void> {
    const { pageSize } = this.#statistics;
    if (offset % pageSize !== 0)
      throw new MultifdError(
        'ERR_PAGE_OFFSET',
        `a zero page at ${offset} of the block ${this.#blocks[block]!.id} is not on a ` +
          `${pageSize}-byte boundary; or its pages are smaller: give their size as page size`,
        { channel: 'main' },
      );
    this.#postcopy?.take(block, offset);
    return this.#inTurn(() => this.#pipeline!.zeroPage(block, offset));
  }

  /** Pages of two connections, one after the other. */
  #inTurn(work: () => void | Promise<void>): void | Promise<void> {
    if (this.#urgentEnd === undefined) return work();
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /**
   * Whether there are channels, or will be: a source with multifd has connected them before it
   * names its blocks, so that the first is here very soon after that.
   */
  async #hasChannels(): Promise<boolean> {
    const { firstChannel } = this.#connections;
    if (!this.#hasLaunched && !this.#channelless && this.#connections.present === 0)
      await this.#unlessFailed(Promise.race([firstChannel, sleep(FIRST_CHANNEL_MS)]));
    return this.#connections.present > 0;
  }

  /**
   * Does it once the channels are at work; without any where none has come.
   * @param pageSize bytes, if a page on this channel has told.
   */
  async #afterLaunch(work: () => void | Promise<void>, pageSize?: number): Promise<void> {
    if (!this.#hasLaunched && !(await this.#hasChannels()))
      this.#withoutChannels(pageSize ?? this.#zeroPageSize());
    await this.#launched;
    await work();
  }

  /** The source has multifd off: all pages come on the main channel. */
  #withoutChannels(pageSize: number): void {
    if (this.#channelless || this.#checked.connects) return;
    trace('target', 'multifd is off at the source: pages come on the main channel');
    this.#channelless = true;
    this.#told ??= pageSize;
    this.#connections.withoutChannels();
  }

  /** By zero pages alone: the first round has all of them, so that most are neighbours. */
  #zeroPageSize(): number {
    let size = DEFAULT_PAGE_SIZE;
    for (const said of this.#ahead) if (said !== 'sync') while (said.offset % size !== 0) size /= 2;
    return Math.max(size, MIN_PAGE_SIZE);
  }

  /** The parser can't know, where it is a channel that has told the page size. */
  #demandWholePages(blocks: readonly RamBlock[]): void {
    const { pageSize } = this.#statistics;
    const block = blocks.find(({ usedLength }) => usedLength % pageSize !== 0);
    if (block === undefined) return;
    throw new MultifdError(
      'ERR_BLOCK_LENGTH',
      `the block ${block.id} has ${block.usedLength} bytes, not a multiple of the ` +
        `${pageSize}-byte page`,
      { channel: 'main' },
    );
  }

  /** Starts the channels once they are there, and does what the main channel has said meanwhile. */
  async #launch(blocks: readonly RamBlock[]): Promise<void> {
    const connections = await this.#connections.channels;
    this.#told ??= this.#checked.givenPageSize;
    this.#told ??= await this.#unlessFailed(channelsPageSize(connections));
    this.#statistics.pageSize = this.#told ?? this.#checked.pageSize;
    this.#demandWholePages(blocks);
    const pipeline = await this.#unlessFailed(
      ReceivePipeline.create(
        blocks,
        this.#sink,
        connections,
        { ...this.#checked, pageSize: this.#statistics.pageSize },
        () => this.#threads ?? this.#checked.worker('receive'),
      ),
    );
    if (this.#error !== undefined) throw this.#error;
    this.#pipeline = pipeline;
    this.#statistics.blocks = blocks.map(({ id, usedLength }) => ({ id, usedLength }));
    this.#statistics.channels = pipeline.receivers.group.arena.channels.map(
      ({ counters }) => counters,
    );
    void pipeline.receivers.group.failure.then((error) => this.#fail(error));
    await pipeline.start();
    this.#statistics.setUp();
    trace('target', 'the channels are at work');
    for (const said of this.#ahead) {
      if (said !== 'sync') await this.#zeroPage(said.block, said.offset);
      else if (!this.#channelless) await this.#sync();
    }
    this.#ahead.length = 0;
    this.#hasLaunched = true;
  }

  async #sync(): Promise<void> {
    trace('target', () => `sync ${this.#statistics.syncs}`);
    await this.#pipeline!.receivers.sync();
    if (this.#statistics.syncs++ === 0) this.#connections.synced();
  }

  #say(message: Parameters<typeof returnMessage>[0]): void {
    if (this.#hasReturnPath && this.#connection?.writable)
      // the next read fails
      void this.#connection.write([returnMessage(message)], () => {}).catch(() => {});
  }

  /** Tells the source that all is well, and notes whether that can have reached it. */
  async #tell(): Promise<void> {
    const connection = this.#connection!;
    if (!this.#hasReturnPath) return;
    if (this.#sink.start !== undefined) await this.#probe(); // that may have taken long
    this.#statistics.confirmed =
      connection.writable &&
      (await connection
        .write([returnMessage({ type: 'shut', status: 0 })], () => {})
        .then(
          () => true,
          () => false,
        ));
    // A source that is gone resets the connection as soon as it gets that; it is told when the
    // connection is ended.
    await turn();
    await turn();
    await connection.closeWith(new Uint8Array(0), false);
    if (connection.broken !== undefined) this.#statistics.confirmed = false;
  }

  /**
   * A source that had sent everything, and then gave up, sends nothing about that: only a write to
   * it shows it, and with TCP only the next write does.
   */
  async #probe(): Promise<void> {
    for (let again = 0; again < 2; again++) {
      this.#say({ type: 'pong', value: 0 });
      await turn();
      await turn();
    }
  }

  /** Tells the source that it failed, if it asked to be told. */
  async #closeWith(): Promise<void> {
    if (this.#hasReturnPath && this.#connection !== undefined)
      await this.#connection.closeWith(returnMessage({ type: 'shut', status: 1 }), true);
  }
}
