import { MultifdError } from '../../util/errors.ts';
import { copyToSink } from './copy.ts';
import { onceOver } from '../outgoing/rounds.ts';
import { imageCargo } from '../outgoing/image-content.ts';
import { checkOutgoing } from '../outgoing/options.ts';
import type { Recorder } from '../statistics.ts';
import { type CheckedIncoming, type IncomingOptions, openSink } from '../incoming/options.ts';

/** Fills the sink from an image, without a source. */
export async function loadImage(
  path: string,
  offset: number,
  options: IncomingOptions,
  checked: CheckedIncoming,
  recorder: Recorder,
): Promise<void> {
  const { createWorker } = options;
  const { channels, timeout, pageSize, signal, onProgress, inline, modules } = checked;
  const outgoing = checkOutgoing({
    channels,
    timeout,
    pageSize,
    signal,
    onProgress,
    inline,
    modules,
    ...(createWorker && { createWorker }),
  });
  const { maxDeviceState } = checked;
  const cargo = await imageCargo(path, { offset, maxDeviceState }, pageSize);
  try {
    if (cargo.usedLengths.reduce((sum, length) => sum + length, 0) > checked.maxBytes) {
      throw new MultifdError(
        'ERR_BLOCK_LENGTH',
        `the image's blocks have more than the ${checked.maxBytes} bytes allowed: allow more`,
      );
    }
    await copyToSink(
      cargo,
      await openSink(options, checked.pageSize),
      outgoing,
      recorder,
      onceOver([]),
    );
  } finally {
    await cargo.close();
  }
}
