import { inlineLauncher, workerLauncher } from '../../engine/launch.ts';
import { MultifdError } from '../../errors.ts';
import { blockEntry, flushWord, openReturnPath, ramEnd, ramPart, ramSectionEnd, ramStart, streamHeader, zeroPage } from '../../stream/index.ts';
import { connect } from '../../transport/connect.ts';
import type { ClientTls } from '../../transport/tls-credentials.ts';
import type { SocketUri } from '../../transport/uri.ts';
import { createSendChannel, type SendChannelData } from '../channel/send-program.ts';
import type { Recorder } from '../statistics.ts';
import type { Cargo } from './cargo.ts';
import { MainChannel } from './main-channel.ts';
import type { CheckedOutgoing } from './options.ts';
import { Pump } from './pump.ts';
import { ReturnPath } from './return-path.ts';

/**
 * A whole migration to a listening target:
 *
 * ```
 * main     QEVM, CONFIGURATION, [OPEN_RETURN_PATH]
 * channels initial packets
 * main     START: the blocks, FLUSH               channels SYNC
 * main     PART: [zero pages], FLUSH              channels pages, SYNC
 * main     END: FLUSH                             channels device state, SYNC
 * main     tail, end of our half
 * target   SHUT 0, once it has everything
 * ```
 *
 * @throws MultifdError: the first thing that went wrong, at either end.
 */
export async function migrateToTarget(uri: SocketUri, tls: ClientTls | undefined, cargo: Cargo, checked: CheckedOutgoing, recorder: Recorder): Promise<void> {
  const { timeout, signal, inline, compression, uuid, zlibLevel, zstdLevel } = checked;
  const socket = await connect(uri, { timeout, signal, channel: 'main', tls });
  recorder.start();
  const main = new MainChannel(socket, (bytes) => {
    recorder.mainBytes += bytes;
  });
  const returnPath = checked.returnPath ? new ReturnPath(socket) : undefined;
  if (returnPath === undefined) socket.resume(); // what the target says is not asked for, but must not fill up
  try {
    const pump = await Pump.create({
      cargo,
      checked,
      recorder,
      launcher: inline ? inlineLauncher(createSendChannel) : workerLauncher(new URL('./send-worker.js', import.meta.url)),
      writesBitmaps: false,
      channelData: (basics): SendChannelData => ({
        ...basics,
        uri,
        tls,
        timeout,
        uuid,
        compression,
        zlibLevel,
        zstdLevel,
        sources: cargo.blocks.map(({ descriptor }) => descriptor),
      }),
    });
    const { engine } = pump;
    const watch = pump.watch(() => recorder.transferred + (returnPath?.messages ?? 0));
    // A target that gives up says so, or just goes: either ends the migration at once.
    let streamed = false;
    const streaming = stream(main, returnPath, pump, cargo, checked, recorder).then(() => {
      streamed = true;
    });
    void returnPath?.verdict.then((error) => {
      if (error !== undefined) engine.group.fail(error);
      else if (!streamed) engine.group.fail(new MultifdError('ERR_STREAM', 'the target said that it has everything before everything was sent', { channel: 'main' }));
    });
    try {
      await engine.group.race(streaming);
      if (returnPath !== undefined) await engine.group.race(returnPath.verdict);
      await engine.finish();
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      await engine.abort(error);
      const reason = (await returnPath?.explain(error)) ?? error;
      socket.destroy();
      await streaming.catch(() => {}); // it may not touch the blocks any more once they are closed
      throw reason;
    } finally {
      watch.stop();
    }
  } finally {
    socket.destroy();
  }
}

async function stream(main: MainChannel, returnPath: ReturnPath | undefined, pump: Pump, cargo: Cargo, checked: CheckedOutgoing, recorder: Recorder): Promise<void> {
  const { engine } = pump;
  const { blocks, usedLengths, configuration, tail } = cargo;
  const list = blocks.map(({ id }, index) => ({ id, usedLength: usedLengths[index]! }));

  const perSection = flushesPerSection(configuration.machine);
  // Once in each section: with older machine types its end stands for the flush.
  const sync = async (): Promise<void> => {
    await engine.sync();
    if (!perSection) await main.put(flushWord());
    recorder.syncs++;
  };

  await main.put(streamHeader(configuration));
  if (returnPath !== undefined) await main.put(openReturnPath());
  await main.flush();
  await engine.start();
  recorder.setUp();

  await main.put(ramStart(list, checked.pageSize), ...list.map(blockEntry));
  // The target starts its channels with the block list, and stops them at the first flush.
  await sync();
  await main.put(ramSectionEnd());
  await main.flush();

  await main.put(ramPart());
  let last: number | undefined;
  await pump.sendPages((block, offset) => {
    const record = zeroPage(block === last ? undefined : blocks[block]!.id, offset);
    last = block;
    recorder.mainDuplicate++;
    return main.put(record);
  });
  await sync();
  await main.put(ramSectionEnd());

  if (checked.switchoverAck) {
    await main.flush();
    await returnPath?.acknowledged;
  }
  await main.put(ramEnd());
  await pump.sendDeviceState();
  await sync();
  await main.put(ramSectionEnd(), tail);
  await main.end();
}

/**
 * Whether a target of this machine type expects a sync at the end of each section, and no MULTIFD_FLUSH: those before 8.1, whose names end in
 * their version (QEMU's machine property multifd-flush-after-each-section).
 */
function flushesPerSection(machine: string): boolean {
  const version = /-(\d+)\.(\d+)$/.exec(machine);
  return version !== null && Number(version[1]) * 1000 + Number(version[2]) < 8001;
}
