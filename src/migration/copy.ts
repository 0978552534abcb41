import { inlineLauncher, workerLauncher } from '../engine/launch.ts';
import { MultifdError } from '../errors.ts';
import { bitmapLength } from '../stream/index.ts';
import { type CopyChannelData, createCopyChannel } from './channel/copy-program.ts';
import type { DeviceState } from './channel/payloads.ts';
import { describeTargets, type IncomingSink, isShareable } from './memory/targets.ts';
import type { Cargo } from './outgoing/cargo.ts';
import type { CheckedOutgoing } from './outgoing/options.ts';
import { Pump } from './outgoing/pump.ts';
import type { Recorder } from './statistics.ts';

/**
 * A migration without connections: into a mapped-ram image, or from one into memory. Channels work side by side, each page having its place.
 * @throws MultifdError: the first thing that went wrong. The sink is discarded then.
 */
export async function copyToSink(cargo: Cargo, sink: IncomingSink, checked: CheckedOutgoing, recorder: Recorder): Promise<void> {
  recorder.start();
  try {
    await sink.configuration(cargo.configuration);
    const blocks = cargo.blocks.map(({ id }, index) => ({ id, usedLength: cargo.usedLengths[index]! }));
    const targets = describeTargets(await sink.blocks(blocks), blocks);
    const inline = checked.inline || !targets.every(isShareable);
    const pump = await Pump.create({
      cargo,
      // Zero pages leave no trace in a file: the only place to look for them is the channels.
      checked: { ...checked, zeroPageDetection: checked.zeroPageDetection === 'none' ? 'none' : 'multifd' },
      recorder,
      launcher: inline ? inlineLauncher(createCopyChannel) : workerLauncher(new URL('./copy-worker.js', import.meta.url)),
      writesBitmaps: true,
      channelData: (basics): CopyChannelData => ({ ...basics, targets, sources: cargo.blocks.map(({ descriptor }) => descriptor) }),
    });
    await copyPages(pump, recorder);
    const bitmaps = blocks.flatMap(({ usedLength }, index) => (targets[index]!.kind === 'file' ? [pump.bitmap(index, bitmapLength(usedLength, checked.pageSize))] : []));
    const deviceState: DeviceState[] = [];
    for await (const state of checked.deviceState) deviceState.push(state);
    await sink.tail(cargo.tail);
    if (checked.signal.aborted) throw new MultifdError('ERR_CANCELLED', 'the migration was cancelled here');
    await sink.commit({ deviceState, bitmaps });
    if (sink.start !== undefined && checked.signal.aborted) throw new MultifdError('ERR_CANCELLED', 'the migration was cancelled here');
    await sink.start?.();
  } catch (thrown) {
    await sink.discard();
    throw MultifdError.from(thrown);
  }
}

async function copyPages(pump: Pump, recorder: Recorder): Promise<void> {
  const { engine } = pump;
  const watch = pump.watch(() => {
    const { transferred, duplicate } = recorder.snapshot().ram;
    return transferred + duplicate;
  });
  try {
    await engine.start();
    recorder.setUp();
    await pump.sendPages(() => {});
    await engine.sync();
    recorder.syncs++;
    await engine.finish();
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    await engine.abort(error);
    throw error;
  } finally {
    watch.stop();
  }
}
