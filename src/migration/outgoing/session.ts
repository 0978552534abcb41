import { INITIAL_LENGTH, pagesPerPacket, ramHeaderLength } from '../../core/index.ts';
import { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import type { WorkerModule } from '../../engine/threads/thread.ts';
import { MultifdError } from '../../util/errors.ts';
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
import type { SendChannelData } from '../../channel/send.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { OutgoingEndpoint } from '../../transport/endpoint.ts';
import type { OutgoingContent } from './content.ts';
import { sendChannels } from '../../channel/send-launcher.ts';
import type { CoursePlan } from './rounds.ts';
import { MainChannel } from './device-state.ts';
import type { CheckedOutgoing } from './options.ts';
import { SendPipeline } from './pipeline.ts';
import { notInTime, ReturnPath } from './return-path.ts';

/**
 * A whole migration to a listening target:
 *
 * ```
 * main     QEVM, CONFIGURATION, [OPEN_RETURN_PATH]
 * channels initial packets
 * main     START: the blocks, FLUSH               channels SYNC
 * main     PART: [zero pages], FLUSH              channels pages, SYNC        once for each round
 * main     END: FLUSH                             channels device state, SYNC
 * main     tail, end of our half
 * target   SHUT 0, once it has everything
 * ```
 *
 * @throws MultifdError: the first thing that went wrong, at either end.
 */
export async function migrateToTarget(
  connections: OutgoingEndpoint,
  content: OutgoingContent,
  checked: CheckedOutgoing,
  statistics: StatisticsCollector,
  plan: CoursePlan,
): Promise<void> {
  const { inline, channels } = checked;
  // They take longer to start than all that comes before their work.
  const threads =
    inline || plan.lowPriority
      ? undefined
      : new PrestartedWorkers(checked.worker('send'), channels, 'multifd channel');
  try {
    await migrate(
      connections,
      content,
      checked,
      statistics,
      plan,
      inline ? undefined : (threads ?? checked.worker('send')),
    );
  } finally {
    await threads?.close();
  }
}

/** @param module of the channels' workers; undefined: they run in this thread. */
async function migrate(
  connections: OutgoingEndpoint,
  content: OutgoingContent,
  checked: CheckedOutgoing,
  statistics: StatisticsCollector,
  plan: CoursePlan,
  module: WorkerModule | PrestartedWorkers | undefined,
): Promise<void> {
  const { signal, compression, uuid, zlibLevel, zstdLevel, commitTimeout } = checked;
  const connection = await connections.open('main', signal);
  statistics.start();
  const main = new MainChannel(connection, (bytes) => {
    statistics.mainBytes += bytes;
  });
  const returnPath = checked.returnPath ? new ReturnPath(connection) : undefined;
  // what the target says is not asked for, but must not fill up
  if (returnPath === undefined) connection.drain();
  try {
    const { launcher, connected } = sendChannels(connections, checked.channels, module);
    const pipeline = await SendPipeline.create({
      content,
      checked,
      statistics,
      plan,
      launcher,
      writesBitmaps: false,
      channelData: (basics): SendChannelData & { route: OutgoingEndpoint['route'] } => ({
        ...basics,
        route: connections.route,
        uuid,
        compression,
        zlibLevel,
        zstdLevel,
        sources: content.blocks.map(({ descriptor }) => descriptor),
      }),
    });
    const { engine } = pipeline;
    let streamed = false;
    // What counts is what has moved: a target that says it is alive, and takes nothing, keeps
    // nobody waiting.
    const watch = pipeline.watch(
      () => statistics.progress + (streamed ? (returnPath?.messages ?? 0) : 0),
    );
    let overdue: ReturnType<typeof setTimeout> | undefined;
    // A target that gives up says so, or just goes: either ends the migration at once.
    const streaming = stream({
      main,
      returnPath,
      connected,
      pipeline,
      content,
      checked,
      statistics,
      plan,
    }).then(() => {
      streamed = true;
      // Its signs of life say that it is at work on making all of it last, which may take it long,
      // but not for ever: a guest may be standing still.
      if (returnPath !== undefined)
        overdue = setTimeout(() => engine.group.fail(notInTime(commitTimeout)), commitTimeout);
    });
    void returnPath?.verdict.then((error) => {
      if (error === undefined) statistics.confirmed = true;
      // it has said that it does not run
      else if (error.code === 'ERR_REMOTE') statistics.confirmed = null;
      if (error !== undefined) engine.group.fail(error);
      else if (!streamed)
        engine.group.fail(
          new MultifdError(
            'ERR_STREAM',
            'the target said that it has everything before everything was sent',
            { channel: 'main' },
          ),
        );
    });
    try {
      await engine.group.race(streaming);
      if (returnPath !== undefined) await engine.group.race(returnPath.verdict);
      await engine.finish();
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      await engine.abort(error);
      // Once everything is on its way the target's word counts, not what becomes of the
      // connections: if it says that it has everything, it runs it.
      const done = streamed && (await returnPath?.hasEverything()) === true;
      const reason = done ? undefined : ((await returnPath?.explain(error)) ?? error);
      connection.destroy();
      await streaming.catch(() => {}); // it may not touch the blocks any more once they are closed
      if (reason !== undefined) throw explained(reason, { checked, returnPath, statistics });
    } finally {
      clearTimeout(overdue);
      watch.stop();
    }
  } finally {
    connection.destroy();
  }
}

interface Circumstances {
  checked: CheckedOutgoing;
  returnPath: ReturnPath | undefined;
  statistics: StatisticsCollector;
}

/**
 * An error with what it may be due to, or what it leaves open, that can't be seen where it happens.
 */
function explained(
  error: MultifdError,
  { checked, returnPath, statistics }: Circumstances,
): MultifdError {
  const { code, channel, offset } = error;
  const withHint = (hint: string): MultifdError =>
    Object.assign(
      MultifdError.fromRecord({ ...error.toRecord(), message: `${error.message}; ${hint}` }),
      { cause: error },
    );
  if (statistics.confirmed === false)
    return withHint(
      'everything had been sent, so that the target may have it, and run it, all the same',
    );
  const isClosed = code === 'ERR_PEER_CLOSED' || code === 'ERR_CONNECT';
  // A QEMU takes as many connections as it needs, with multifd off the main one, and drops those
  // that come after.
  if (
    isClosed &&
    typeof channel === 'number' &&
    (offset ?? 0) <= INITIAL_LENGTH + ramHeaderLength(pagesPerPacket(checked.pageSize))
  ) {
    return withHint(
      'a target drops what it has no use for: is multifd on there, and has it the ' +
        `${checked.channels} channels of here? (QEMU: migrate_set_capability multifd on, ` +
        `migrate_set_parameter multifd-channels ${checked.channels})`,
    );
  }
  if (code === 'ERR_TIMEOUT' && returnPath?.messages === 0)
    return withHint(
      `a target that waits for more channels than the ${checked.channels} here looks the ` +
        'same: set the same number at both ends',
    );
  return error;
}

interface Streaming {
  main: MainChannel;
  returnPath: ReturnPath | undefined;
  connected: Promise<void>;
  pipeline: SendPipeline;
  content: OutgoingContent;
  checked: CheckedOutgoing;
  statistics: StatisticsCollector;
  plan: CoursePlan;
}

async function stream({
  main,
  returnPath,
  connected,
  pipeline,
  content,
  checked,
  statistics,
  plan,
}: Streaming): Promise<void> {
  const { engine } = pipeline;
  const { blocks, usedLengths, configuration, tail } = content;
  const list = blocks.map(({ id }, index) => ({ id, usedLength: usedLengths[index]! }));

  const perSection = machineRules(configuration.machine).syncMode === 'per-section';
  // Once in each section: with older machine types its end stands for the flush.
  const sync = async (): Promise<void> => {
    await engine.sync();
    if (!perSection) await main.put(flushWord());
    statistics.syncs++;
  };
  const endSection = async (): Promise<void> => {
    await main.put(ramSectionEnd());
    await main.flush();
  };

  await main.put(streamHeader(configuration));
  if (returnPath !== undefined) await main.put(openReturnPath());
  await main.flush();
  await engine.start(plan);
  await engine.group.race(connected);
  statistics.setUp();
  const course = await plan.begin(pipeline);
  void returnPath?.verdict.then((error) => (error === undefined ? course.arrived?.() : undefined));

  await main.put(ramStart(list, checked.pageSize), ...list.map(blockEntry));
  // The target starts its channels with the block list, and stops them at the first flush. Before,
  // it reads none of them: a carrier that buffers nothing could take no SYNC.
  await main.flush();
  await sync();
  await endSection();

  let last: number | undefined;
  // Answered once the target has made room for what has grown.
  let resizes = 0;
  let followed: Promise<void> | undefined;
  await course.rounds({
    async round(work) {
      await main.put(ramPart());
      await work((block, offset) => {
        const record = zeroPage(block === last ? undefined : blocks[block]!.id, offset);
        last = block;
        statistics.mainDuplicate++;
        return main.put(record);
      });
      await sync();
      await endSection();
    },
    async resize(lengths) {
      if (perSection)
        throw new MultifdError(
          'ERR_UNSUPPORTED',
          `a target of machine type ${configuration.machine} can't be told that a block has grown`,
        );
      const grown = blocks.map(({ id }, index) => ({ id, usedLength: lengths[index]! }));
      // No page is on its way since the last round's sync, and none before this one.
      await main.put(ramPart(), ramResize(grown, checked.pageSize));
      await sync();
      await main.put(ramSectionEnd());
      if (returnPath !== undefined) {
        resizes++;
        followed = returnPath.pong(resizes);
        await main.put(ping(resizes));
      }
      await main.flush();
      statistics.blocks = grown;
    },
    async ready() {
      await main.flush();
      if (checked.switchoverAck) await returnPath?.acknowledged;
      if (followed !== undefined) await engine.group.race(followed);
    },
  });

  await main.put(ramEnd());
  await course.last((states) => pipeline.sendDeviceState(states));
  await sync();
  // Before the target gets what lets it say that it has everything.
  await content.verify?.();
  await main.put(ramSectionEnd(), tail);
  // From the last byte on the target may have everything, whatever becomes of its word.
  if (returnPath !== undefined) statistics.confirmed = false;
  await main.end();
}
