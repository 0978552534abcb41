import { cancelledBy, MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import { ByteReader, parseMainStream } from '../../stream/index.ts';
import { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import { sleep, turn } from '../../util/timing.ts';
import type { IncomingSink } from '../../blocks/targets.ts';
import type { StatisticsCollector } from '../statistics.ts';
import { Watchdog } from '../watchdog.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';
import { type Connections, GIVE_UP_MS } from './connections.ts';
import { IncomingStream } from './incoming-stream.ts';
import { MainLink } from './main-link.ts';
import type { CheckedIncoming } from './options.ts';

/** While the target makes everything last, it tells the source this often that it is alive. */
const ALIVE_MS = 1_000;

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
  readonly #link: MainLink;
  readonly #stream: IncomingStream;
  #threads: PrestartedWorkers | undefined;
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
    // In postcopy who reads sees it, and waits for the source.
    this.#link = new MainLink(statistics, (error) => {
      if (!this.#stream.runsHere) this.#fail(error);
    });
    this.#stream = new IncomingStream({
      sink,
      checked,
      statistics,
      connections,
      link: this.#link,
      threads: () => this.#threads,
      error: () => this.#error,
      fail: (error) => this.#fail(error),
      unlessFailed: (work) => this.#unlessFailed(work),
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
      await this.#link.tell(this.#sink.start !== undefined);
      trace('target', 'completed');
    } catch (thrown) {
      this.#fail(MultifdError.from(thrown));
      trace('target', () => `roll-back: ${this.#error?.code}: ${this.#error?.message}`);
      // Nothing may touch the sink any more once it is discarded.
      await this.#stream.launched?.catch(() => {});
      await this.#stream.pipeline?.receivers.group.join();
      await this.#link.fail();
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
    if (this.#stream.pipeline?.receivers.group.failing) return;
    this.#error ??= this.#explain(error);
    this.#reject(this.#error);
    this.#stream.pipeline?.receivers.group.fail(error);
    this.#connections.abandon(error);
    this.#link.stop();
  }

  async #receive(): Promise<void> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watchdog({
      signal,
      timeout,
      progress: () =>
        this.#statistics.started && !this.#stream.paused ? this.#statistics.transferred : undefined,
      fail: (error) => this.#fail(error),
      onLook: () => {
        if (this.#statistics.started) onProgress(this.#statistics.snapshot());
      },
    });
    void this.#connections.failure.then((error) => this.#fail(error));
    try {
      await this.#parse(await this.#connections.main);
      await this.#stream.launched;
      // A second source, or one with more channels than agreed, has opened them by now: let what
      // has arrived be seen.
      await turn();
      await turn();
      await this.#demandOneSource();
      if (!this.#stream.runsHere) await this.#stream.finishChannels();
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
    const { arena } = this.#stream.pipeline!.receivers.group;
    const ended = [...arena.channels.keys()].find((id) => arena.isSet(id, 'ENDED'));
    if (ended === undefined) return;
    throw new MultifdError(
      'ERR_CHANNEL_COUNT',
      'two main channels arrived, and this channel ended after one was dropped: two sources ' +
        'at once?',
      { channel: ended },
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
    const alive = setInterval(() => void this.#link.say({ type: 'pong', value: 0 }), ALIVE_MS);
    try {
      trace('target', 'commit');
      await this.#commitSink();
      if (this.#sink.start !== undefined) await this.#start(this.#sink);
    } finally {
      clearInterval(alive);
    }
  }

  async #commitSink(): Promise<void> {
    const pipeline = this.#stream.pipeline!;
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
    await this.#link.probe();
    const { signal } = this.#checked;
    if (signal.aborted) throw cancelledBy(signal);
    if (this.#error !== undefined) throw this.#error;
    // A source that has lost its target resumes the guest there.
    if (this.#link.closed)
      throw new MultifdError(
        'ERR_PEER_CLOSED',
        'the source has closed the connection before it could be told that all is well',
        { channel: 'main' },
      );
    this.#link.unwatch();
    await sink.start?.();
  }

  async #parse(main: IdentifiedConnection): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { givenPageSize, maxBytes, maxDeviceState: maxTail, uuid } = this.#checked;
    const input = this.#link.attach(main);
    const hasUuid = uuid.some((byte) => byte !== 0);
    const pageSize = givenPageSize;
    const options = {
      maxBytes,
      maxTail,
      ...(pageSize !== undefined && { pageSize }),
      ...(hasUuid && { uuid }),
    };
    await parseMainStream(new ByteReader(input), this.#stream.handler(), options);
  }
}
