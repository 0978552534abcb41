import { isZero } from '../../util/bytes.ts';
import { inTime, LATE } from '../../util/deadline.ts';
import { MultifdError } from '../../util/errors.ts';
import { sleep } from '../../util/timing.ts';
import { trace } from '../../util/trace.ts';
import { Counter } from '../../blocks/batcher.ts';
import type { IncomingSink } from '../../blocks/targets.ts';
import type { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import type { ConnectionInput } from '../../transport/connection-io.ts';
import {
  Command,
  DEFAULT_PAGE_SIZE,
  machineRules,
  type MainStreamHandler,
  MIN_PAGE_SIZE,
  type RamBlock,
  type RamSectionKind,
  type ReturnMessage,
  type StreamCommand,
  type SyncMode,
} from '../../stream/index.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { Connections } from './connections.ts';
import type { MainLink } from './main-link.ts';
import type { CheckedIncoming } from './options.ts';
import { countNumbered, lacksPackets } from './packet-numbers.ts';
import { channelsPageSize } from './page-size.ts';
import { ReceivePipeline } from './pipeline.ts';
import { IncomingPostcopy, neverBack } from './postcopy.ts';
import { UrgentChannel } from './urgent-channel.ts';

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

/** What an incoming stream needs of its migration. */
export interface IncomingContext {
  readonly sink: IncomingSink;
  readonly checked: CheckedIncoming;
  readonly statistics: StatisticsCollector;
  readonly connections: Connections;
  readonly link: MainLink;
  /** Threads that have been started for the channels. */
  threads(): PrestartedWorkers | undefined;
  /** The first error, once there is one. */
  error(): MultifdError | undefined;
  fail(error: MultifdError): void;
  /** `work`, unless the migration fails before. */
  unlessFailed<T>(work: Promise<T>): Promise<T>;
}

/**
 * Does what the main channel says. Up to the block list that is little; then the channels are
 * started, and what comes meanwhile is kept. A source may have none: then all pages come here.
 */
export class IncomingStream {
  readonly #context: IncomingContext;
  readonly #sink: IncomingSink;
  readonly #checked: CheckedIncoming;
  readonly #statistics: StatisticsCollector;
  readonly #connections: Connections;
  readonly #link: MainLink;
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
  #paused = false;
  readonly #urgent: UrgentChannel;
  #last: Promise<void> = Promise.resolve();
  /** The source waits for SWITCHOVER_ACK. */
  #acknowledges = false;

  constructor(context: IncomingContext) {
    this.#context = context;
    this.#sink = context.sink;
    this.#checked = context.checked;
    this.#statistics = context.statistics;
    this.#connections = context.connections;
    this.#link = context.link;
    this.#urgent = new UrgentChannel(
      (bytes) => {
        this.#statistics.mainBytes += bytes;
      },
      (error) => context.fail(error),
    );
    // A source with multifd has connected its channels before it names its blocks.
    context.connections.onNone(() => {
      if (this.#blocks.length > 0) this.#withoutChannels(this.#zeroPageSize());
      return this.#channelless;
    });
  }

  /** There once the channels are at work. */
  get pipeline(): ReceivePipeline | undefined {
    return this.#pipeline;
  }

  /** Resolves when the channels are at work; undefined before the block list. */
  get launched(): Promise<void> | undefined {
    return this.#launched;
  }

  /** The source is waited for, which has gone in the middle of postcopy. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Postcopy: only this end has all of the guest. */
  get runsHere(): boolean {
    return this.#postcopy?.running === true;
  }

  handler(): MainStreamHandler {
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
        this.#launched.catch((thrown: unknown) => this.#context.fail(MultifdError.from(thrown)));
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
        await this.#context.unlessFailed(this.#pipeline!.resize(blocks, this.#sink));
        this.#demandUnfailed();
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
        await this.finishChannels();
        this.#urgent.start(urgent);
        this.#statistics.postcopy();
        await this.#inPostcopy.start(pings);
      },
      reconnect: (lost) => this.#awaitReturn(lost),
      tail: async (chunk) => {
        await this.#afterLaunch(() => {});
        await this.#sink.tail(chunk);
      },
    };
  }

  /** A source's questions are answered before more of what it says is read. */
  async #command({ command, data }: StreamCommand): Promise<void> {
    switch (command) {
      case Command.OPEN_RETURN_PATH:
        this.#link.hasReturnPath = true;
        // What comes is taken as it comes: there is nothing here that a source would have to wait
        // for.
        if (this.#acknowledges) await this.#say({ type: 'switchover-ack' });
        break;
      case Command.PING:
        await this.#say({
          type: 'pong',
          value: new DataView(data.buffer, data.byteOffset).getUint32(0),
        });
        break;
      case Command.POSTCOPY_ADVISE:
        this.#expectUrgent();
        break;
      case Command.RECV_BITMAP:
        await this.#postcopy?.tellReceived(data);
        break;
      case Command.POSTCOPY_RESUME:
        if (this.runsHere) await this.#say({ type: 'resume-ack' });
        break;
    }
  }

  /** A source that reads none of it is no reason to wait once the migration has failed. */
  #say(message: ReturnMessage): Promise<void> {
    return this.#context.unlessFailed(this.#link.say(message));
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
    this.#connections.expectPostcopy((urgent) => this.#urgent.take(urgent));
  }

  /** No more packets come: what the channels have brought is all of it. */
  async finishChannels(): Promise<void> {
    await this.#pipeline!.receivers.finish();
    this.#demandAllPackets();
  }

  /** Postcopy: the source has gone, and pauses; only it has the pages that are missing. */
  async #awaitReturn(lost: Error): Promise<ConnectionInput> {
    const { recoveryTimeout, onPaused } = this.#checked;
    const { missing } = this.#inPostcopy;
    trace('target', () => `postcopy: the source is gone, with ${missing} pages missing`);
    this.#link.drop();
    this.#paused = true;
    onPaused(`${lost.message}; ${missing} pages are missing: waiting for it to come back`);
    const back = await this.#context.unlessFailed(
      inTime(this.#connections.comeBack(), recoveryTimeout),
    );
    if (back === LATE) throw neverBack(lost, missing, recoveryTimeout);
    trace('target', 'postcopy: the source is back');
    this.#paused = false;
    this.#expectUrgent();
    return this.#link.attach(back);
  }

  async #endOfSection(kind: RamSectionKind, syncMode: SyncMode): Promise<void> {
    if (kind === 'end' && this.#postcopy?.running) {
      // What was sent there first may come after this.
      await this.#context.unlessFailed(this.#urgent.ended(this.#postcopy.missing > 0));
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
    if (!this.#urgent.inUse) return work();
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
      await this.#context.unlessFailed(Promise.race([firstChannel, sleep(FIRST_CHANNEL_MS)]));
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
    this.#told ??= await this.#context.unlessFailed(channelsPageSize(connections));
    this.#statistics.pageSize = this.#told ?? this.#checked.pageSize;
    this.#demandWholePages(blocks);
    const pipeline = await this.#context.unlessFailed(
      ReceivePipeline.create(
        blocks,
        this.#sink,
        connections,
        { ...this.#checked, pageSize: this.#statistics.pageSize },
        () => this.#context.threads() ?? this.#checked.worker('receive'),
      ),
    );
    this.#demandUnfailed();
    this.#pipeline = pipeline;
    this.#statistics.blocks = blocks.map(({ id, usedLength }) => ({ id, usedLength }));
    this.#statistics.channels = pipeline.receivers.group.arena.channels.map(
      ({ counters }) => counters,
    );
    void pipeline.receivers.group.failure.then((error) => this.#context.fail(error));
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

  #demandUnfailed(): void {
    const error = this.#context.error();
    if (error !== undefined) throw error;
  }
}
