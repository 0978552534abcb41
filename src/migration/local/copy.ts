import { READS_ASIDE } from '#files';
import { inlineLauncher, workerLauncher } from '../../engine/launch.ts';
import { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import { cancelledBy, MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import { bitmapLength } from '../../stream/index.ts';
import { type CopyChannelData, createCopyChannel } from '../../channel/copy.ts';
import type { DeviceState } from '../../blocks/payloads.ts';
import { targetCores } from '../../blocks/cores.ts';
import { targetSpecs, type IncomingSink, isMemory, isShareable } from '../../blocks/targets.ts';
import type { OutgoingContent } from '../outgoing/content.ts';
import { imageContent } from '../outgoing/image-content.ts';
import { type RoundPlan, singlePass, type Step, type StepOf } from '../outgoing/rounds.ts';
import { type CheckedOutgoing, checkOutgoing } from '../outgoing/options.ts';
import { piecesOf } from '../outgoing/device-state.ts';
import { SendPipeline } from '../outgoing/pipeline.ts';
import type { StatisticsCollector } from '../statistics.ts';
import { type CheckedIncoming, type IncomingOptions, openSink } from '../incoming/options.ts';

/**
 * A migration without connections: into a mapped-ram image, or from one into memory. Channels work
 * side by side, each page having its place.
 * @throws MultifdError: the first thing that went wrong. The sink is discarded then.
 */
export async function copyToSink(
  content: OutgoingContent,
  sink: IncomingSink,
  checked: CheckedOutgoing,
  statistics: StatisticsCollector,
  plan: RoundPlan,
): Promise<void> {
  statistics.start();
  let threads: PrestartedWorkers | undefined;
  try {
    const aside =
      READS_ASIDE && content.blocks.every(({ descriptor }) => descriptor.kind === 'file');
    // They take as long to start as all that comes before their work.
    if (sink.reachable && !checked.inline && !plan.lowPriority && !aside)
      threads = new PrestartedWorkers(checked.worker('copy'), checked.channels, 'multifd channel');
    await sink.configuration(content.configuration);
    const { before, between, after } = content.others;
    sink.other('before', before);
    const blocks = content.blocks.map(({ id, usedLength, address }) => ({
      id,
      usedLength,
      ...(address !== undefined && { address }),
    }));
    const targets = targetSpecs(await sink.blocks(blocks, checked.pageSize), blocks, sink.zeroed);
    // Files are read into memory by the runtime's own threads, where it has some, before any of
    // ours would be there.
    const inline =
      checked.inline || !targets.every(isShareable) || (aside && targets.every(isMemory));
    const targetModules = await targetCores(targets, checked.modules);
    const pipeline = await SendPipeline.create({
      content,
      // Zero pages leave no trace in a file: the only place to look for them is the channels.
      checked: {
        ...checked,
        zeroPageDetection: checked.zeroPageDetection === 'none' ? 'none' : 'multifd',
      },
      statistics,
      plan,
      launcher: inline
        ? inlineLauncher(createCopyChannel)
        : workerLauncher(threads ?? checked.worker('copy')),
      writesBitmaps: true,
      channelData: (basics): CopyChannelData => ({
        ...basics,
        targets,
        targetModules,
        sources: content.blocks.map(({ descriptor }) => descriptor),
      }),
    });
    const deviceState = await copyPages(pipeline, statistics, plan);
    await content.verify?.();
    const bitmaps = (of: 'bitmaps' | 'changes'): Uint8Array[] =>
      blocks.flatMap(({ usedLength }, index) =>
        targets[index]!.kind === 'file'
          ? [pipeline.bitmap(index, bitmapLength(usedLength, checked.pageSize), of)]
          : [],
      );
    sink.other('between', between);
    sink.other('after', after);
    await sink.tail(content.tail);
    if (checked.signal.aborted) throw cancelledBy(checked.signal);
    await sink.commit({ deviceState, bitmaps: bitmaps('bitmaps'), changed: bitmaps('changes') });
    if (sink.start !== undefined && checked.signal.aborted) throw cancelledBy(checked.signal);
    await sink.start?.();
  } catch (thrown) {
    await sink.discard();
    throw MultifdError.from(thrown);
  } finally {
    await threads?.close();
  }
}

/** @returns the device state, which has no channel here. */
async function copyPages(
  pipeline: SendPipeline,
  statistics: StatisticsCollector,
  plan: RoundPlan,
): Promise<DeviceState[]> {
  const { engine } = pipeline;
  const deviceState: DeviceState[] = [];
  const watch = pipeline.watch(() => statistics.progress);
  const sync = async (): Promise<void> => {
    await engine.sync();
    statistics.syncs++;
  };
  const keep = async (step: StepOf<'last'>): Promise<void> => {
    for await (const state of piecesOf(step.deviceState(), engine.group)) deviceState.push(state);
  };
  const take = async (step: Step): Promise<void> => {
    switch (step.kind) {
      case 'round':
        await step.work(() => {});
        return sync();
      case 'resize':
        throw new MultifdError(
          'ERR_UNSUPPORTED',
          'a block has grown, and the places of a file are fixed: start again',
        );
      case 'ready':
        return;
      case 'last':
        await Promise.all([step.work(), keep(step)]);
        return sync();
    }
  };
  const copying = async (): Promise<void> => {
    await engine.start({ lowPriority: plan.lowPriority });
    statistics.setUp();
    for await (const step of plan.steps(pipeline)) {
      trace('copy', step.kind);
      await take(step);
    }
    await plan.arrived?.();
    await engine.finish();
  };
  const copied = copying();
  try {
    await engine.group.race(copied);
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    await engine.abort(error);
    await copied.catch(() => {});
    throw error;
  } finally {
    watch.stop();
  }
  return deviceState;
}

/** Fills the sink from an image, without a source. */
export async function loadImage(
  path: string,
  offset: number,
  options: IncomingOptions,
  checked: CheckedIncoming,
  statistics: StatisticsCollector,
): Promise<void> {
  const { createWorker } = options;
  const { channels, timeout, givenPageSize, signal, onProgress, inline, modules } = checked;
  const outgoing = checkOutgoing({
    channels,
    timeout,
    signal,
    onProgress,
    inline,
    modules,
    ...(createWorker && { createWorker }),
  });
  const { maxDeviceState } = checked;
  const content = await imageContent(path, { offset, maxDeviceState }, givenPageSize);
  statistics.pageSize = content.pageSize;
  try {
    if (content.blocks.reduce((sum, { usedLength }) => sum + usedLength, 0) > checked.maxBytes) {
      throw new MultifdError(
        'ERR_BLOCK_LENGTH',
        `the image's blocks have more than the ${checked.maxBytes} bytes allowed: allow more`,
      );
    }
    await copyToSink(
      content,
      await openSink(options),
      { ...outgoing, pageSize: content.pageSize },
      statistics,
      singlePass([]),
    );
  } finally {
    await content.close();
  }
}
