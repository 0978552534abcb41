import { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import {
  blockEntry,
  flushWord,
  machineRules,
  openReturnPath,
  ping,
  ramEnd,
  ramPart,
  ramResize,
  ramSectionEnd,
  ramStart,
  streamHeader,
  zeroPage,
} from '../../stream/index.ts';
import type { Connection } from '../../transport/connection.ts';
import type { OutgoingEndpoint } from '../../transport/endpoint.ts';
import { MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { OutgoingContent } from './content.ts';
import { MainChannel } from './main-channel.ts';
import type { CheckedOutgoing } from './options.ts';
import { explained } from './explain.ts';
import { launchSending } from './launch.ts';
import type { SendPipeline } from './pipeline.ts';
import { Postcopy } from './postcopy.ts';
import { notInTime, ReturnPath } from './return-path.ts';
import type { RoundPlan, Step, StepOf } from './rounds.ts';

/**
 * A whole migration to a target, as it steps through a round plan:
 *
 * ```
 * connect      main     QEVM, CONFIGURATION, [OPEN_RETURN_PATH]
 *              channels initial packets
 * start        main     START: the blocks, FLUSH            channels SYNC
 * round        main     PART: [zero pages], FLUSH           channels pages, SYNC
 * resize       main     PART: the blocks' new lengths, FLUSH, [PING]
 * ready        target   [SWITCHOVER_ACK], [PONG]
 * switch-over  main     END: FLUSH                          channels device state, SYNC
 *              main     tail, end of our half
 * commit       target   SHUT 0, once it has everything
 * ```
 *
 * Until the commit the source has everything as it was. What fails before is rolled back: the
 * engine is aborted, the connections are closed, and the first error is told. Between the end of
 * the switch-over and the commit this end cannot know whether the target runs what it has got;
 * `confirmed` of the statistics says so.
 */
export class OutgoingSession {
  readonly #endpoint: OutgoingEndpoint;
  readonly #content: OutgoingContent;
  readonly #checked: CheckedOutgoing;
  readonly #statistics: StatisticsCollector;
  readonly #plan: RoundPlan;
  /** With machine types before 8.1 the end of each section stands for the flush. */
  readonly #perSection: boolean;
  #threads: PrestartedWorkers | undefined;
  #connection!: Connection;
  #main!: MainChannel;
  #returnPath: ReturnPath | undefined;
  #postcopy: Postcopy | undefined;
  #pipeline!: SendPipeline;
  /** Resolves when the connection of each channel stands. */
  #connected!: Promise<void>;
  /** The block of the last zero page of the main channel: the next one need not name it. */
  #lastBlock: number | undefined;
  #resizes = 0;
  /** Resolves once the target has made room for what has grown. */
  #followed: Promise<void> | undefined;
  /** Everything is on its way. */
  #streamed = false;
  #overdue: ReturnType<typeof setTimeout> | undefined;

  constructor(
    endpoint: OutgoingEndpoint,
    content: OutgoingContent,
    checked: CheckedOutgoing,
    statistics: StatisticsCollector,
    plan: RoundPlan,
  ) {
    this.#endpoint = endpoint;
    this.#content = content;
    this.#checked = checked;
    this.#statistics = statistics;
    this.#plan = plan;
    this.#perSection = machineRules(content.configuration.machine).syncMode === 'per-section';
  }

  /** @throws MultifdError: the first thing that went wrong, at either end. */
  async run(): Promise<void> {
    this.#startThreads();
    try {
      await this.#connect();
      await this.#launch();
      await this.#migrate();
    } finally {
      this.#connection?.destroy();
      this.#postcopy?.close();
      await this.#threads?.close();
    }
  }

  /** They take longer to start than all that comes before their work. */
  #startThreads(): void {
    const { inline, channels, worker } = this.#checked;
    if (inline || this.#plan.lowPriority) return;
    this.#threads = new PrestartedWorkers(worker('send'), channels, 'multifd channel');
  }

  async #connect(): Promise<void> {
    const { signal, returnPath } = this.#checked;
    trace('source', 'connect the main channel');
    this.#connection = await this.#endpoint.open('main', signal);
    this.#statistics.start();
    this.#main = new MainChannel(this.#connection, (bytes) => {
      this.#statistics.mainBytes += bytes;
    });
    if (this.#checked.postcopy)
      this.#postcopy = new Postcopy({
        endpoint: this.#endpoint,
        content: this.#content,
        checked: this.#checked,
        statistics: this.#statistics,
      });
    if (returnPath) this.#returnPath = new ReturnPath(this.#connection, this.#postcopy);
    // what the target says is not asked for, but must not fill up
    else this.#connection.drain();
  }

  async #launch(): Promise<void> {
    ({ pipeline: this.#pipeline, connected: this.#connected } = await launchSending({
      endpoint: this.#endpoint,
      content: this.#content,
      checked: this.#checked,
      statistics: this.#statistics,
      plan: this.#plan,
      main: this.#main,
      threads: this.#threads,
    }));
  }

  async #migrate(): Promise<void> {
    const { engine } = this.#pipeline;
    // What counts is what has moved: a target that says it is alive, and takes nothing, does
    // not extend the wait.
    const watchdog = this.#pipeline.watch(
      () => this.#statistics.progress + (this.#streamed ? (this.#returnPath?.messages ?? 0) : 0),
    );
    const streaming = this.#stream();
    // A target that gives up says so, or just goes: either ends the migration at once.
    void this.#returnPath?.verdict.then((error) => this.#judge(error));
    try {
      await engine.group.race(streaming);
      await this.#commit();
    } catch (thrown) {
      await this.#rollBack(MultifdError.from(thrown), streaming);
    } finally {
      clearTimeout(this.#overdue);
      watchdog.stop();
    }
  }

  async #stream(): Promise<void> {
    await this.#start();
    for await (const step of this.#plan.steps(this.#pipeline)) {
      trace('source', step.kind);
      await this.#do(step);
    }
    this.#streamed = true;
    // Its signs of life say that it is at work on making all of it last, which may take it long,
    // but not for ever: a guest may be standing still.
    const { commitTimeout } = this.#checked;
    if (this.#returnPath === undefined) return;
    const fail = (): void => this.#pipeline.engine.group.fail(notInTime(commitTimeout));
    this.#overdue = setTimeout(fail, commitTimeout);
  }

  async #start(): Promise<void> {
    const { engine } = this.#pipeline;
    // The target is in the middle of its stream.
    if (this.#checked.resume) {
      await engine.start();
      await this.#postcopy?.openPreempt();
      return this.#statistics.setUp();
    }
    const { configuration, blocks } = this.#content;
    await this.#main.put(streamHeader(configuration));
    if (this.#returnPath !== undefined) await this.#main.put(openReturnPath());
    if (this.#postcopy !== undefined) await this.#main.put(...this.#postcopy.advice);
    await this.#main.flush();
    await engine.start({ lowPriority: this.#plan.lowPriority });
    await engine.group.race(this.#connected);
    await this.#postcopy?.openPreempt();
    this.#statistics.setUp();
    trace('source', () => `start: ${blocks.length} blocks`);
    const { before, between } = this.#content.others;
    if (before.length > 0) await this.#main.put(before);
    const entries = blocks.map(blockEntry);
    await this.#main.put(ramStart(blocks, this.#checked.pageSize), ...entries);
    // The target starts its channels with the block list, and stops them at the first flush.
    // Before, it reads none of them: a connection that buffers nothing could take no SYNC.
    await this.#main.flush();
    await this.#sync();
    await this.#endSection();
    if (between.length > 0) await this.#main.put(between);
  }

  #do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'round':
        return this.#round(step);
      case 'resize':
        return this.#resize(step);
      case 'ready':
        return this.#ready();
      case 'last':
        return this.#switchOver(step);
      case 'postcopy':
        return this.#postcopy!.switchOver(this.#main, this.#pipeline, step.precopied);
      case 'resume':
        return this.#postcopy!.resume(this.#main, this.#pipeline);
    }
  }

  async #round({ work }: StepOf<'round'>): Promise<void> {
    await this.#main.put(ramPart());
    await work((block, offset) => {
      const { id } = this.#content.blocks[block]!;
      const record = zeroPage(block === this.#lastBlock ? undefined : id, offset);
      this.#lastBlock = block;
      this.#statistics.mainDuplicate++;
      return this.#main.put(record);
    });
    await this.#sync();
    await this.#endSection();
  }

  async #resize({ usedLengths }: StepOf<'resize'>): Promise<void> {
    const { configuration, blocks } = this.#content;
    if (this.#perSection)
      throw new MultifdError(
        'ERR_UNSUPPORTED',
        `a target of machine type ${configuration.machine} can't be told that a block has grown`,
      );
    const grown = blocks.map(({ id }, index) => ({ id, usedLength: usedLengths[index]! }));
    // No page is on its way since the last round's sync, and none before this one.
    await this.#main.put(ramPart(), ramResize(grown, this.#checked.pageSize));
    await this.#sync();
    await this.#main.put(ramSectionEnd());
    if (this.#returnPath !== undefined) {
      this.#resizes++;
      this.#followed = this.#returnPath.pong(this.#resizes);
      await this.#main.put(ping(this.#resizes));
    }
    await this.#main.flush();
    this.#statistics.blocks = grown;
  }

  async #ready(): Promise<void> {
    await this.#main.flush();
    const { switchoverAck } = machineRules(this.#content.configuration.machine);
    if (this.#checked.switchoverAck && switchoverAck === 'return path')
      await this.#returnPath?.acknowledged;
    if (this.#followed !== undefined) await this.#pipeline.engine.group.race(this.#followed);
  }

  /** The rest, which no longer changes: behind it the target has everything. */
  async #switchOver({ work, deviceState }: StepOf<'last'>): Promise<void> {
    await this.#main.put(ramEnd());
    const state = async (): Promise<void> => this.#pipeline.sendDeviceState(deviceState());
    await Promise.all([work(), state()]);
    await this.#sync();
    // Before the target gets what lets it say that it has everything.
    await this.#content.verify?.();
    const { others, tail } = this.#content;
    await this.#main.put(ramSectionEnd(), others.after, tail);
    // From the last byte on the target may have everything, whatever becomes of its word.
    if (this.#returnPath !== undefined) this.#statistics.confirmed = false;
    await this.#main.end();
  }

  /** The target's word that it has everything in place. */
  async #commit(): Promise<void> {
    const { engine } = this.#pipeline;
    trace('source', 'commit: wait for the target');
    if (this.#returnPath !== undefined) await engine.group.race(this.#returnPath.verdict);
    await engine.finish();
    trace('source', 'completed');
  }

  /** @param error undefined: it says that it has everything. */
  #judge(error: MultifdError | undefined): void {
    const { group } = this.#pipeline.engine;
    if (error === undefined) this.#statistics.confirmed = true;
    // it has said that it does not run
    else if (error.code === 'ERR_REMOTE') this.#statistics.confirmed = null;
    if (error !== undefined) return group.fail(error);
    void this.#plan.arrived?.();
    if (this.#streamed) return;
    group.fail(
      new MultifdError(
        'ERR_STREAM',
        'the target said that it has everything before everything was sent',
        { channel: 'main' },
      ),
    );
  }

  /** @throws the error, unless the target says all the same that it has everything. */
  async #rollBack(error: MultifdError, streaming: Promise<void>): Promise<void> {
    trace('source', () => `roll-back: ${error.code}: ${error.message}`);
    await this.#pipeline.engine.abort(error);
    // Once everything is on its way the target's word counts, not what becomes of the connections:
    // if it says that it has everything, it runs it.
    const returnPath = this.#returnPath;
    const done = this.#streamed && (await returnPath?.hasEverything()) === true;
    const reason = done ? undefined : ((await returnPath?.explain(error)) ?? error);
    this.#connection.destroy();
    await streaming.catch(() => {}); // it may not touch the blocks any more once they are closed
    if (reason === undefined) return;
    throw explained(reason, {
      checked: this.#checked,
      returnPath,
      statistics: this.#statistics,
      stage: this.#postcopy?.stage,
    });
  }

  /** Once in each section. */
  async #sync(): Promise<void> {
    await this.#pipeline.engine.sync();
    if (this.#checked.multifd && !this.#perSection) await this.#main.put(flushWord());
    this.#statistics.syncs++;
  }

  async #endSection(): Promise<void> {
    await this.#main.put(ramSectionEnd());
    await this.#main.flush();
  }
}
