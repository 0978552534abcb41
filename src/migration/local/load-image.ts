import { MultifdError } from '../../util/errors.ts';
import { copyToSink } from './copy.ts';
import { singlePass } from '../outgoing/rounds.ts';
import { imageContent } from '../outgoing/image-content.ts';
import { checkOutgoing } from '../outgoing/options.ts';
import type { StatisticsCollector } from '../statistics.ts';
import { type CheckedIncoming, type IncomingOptions, openSink } from '../incoming/options.ts';

/** Fills the sink from an image, without a source. */
export async function loadImage(
  path: string,
  offset: number,
  options: IncomingOptions,
  checked: CheckedIncoming,
  statistics: StatisticsCollector,
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
  const content = await imageContent(path, { offset, maxDeviceState }, pageSize);
  try {
    if (content.usedLengths.reduce((sum, length) => sum + length, 0) > checked.maxBytes) {
      throw new MultifdError(
        'ERR_BLOCK_LENGTH',
        `the image's blocks have more than the ${checked.maxBytes} bytes allowed: allow more`,
      );
    }
    await copyToSink(
      content,
      await openSink(options, checked.pageSize),
      outgoing,
      statistics,
      singlePass([]),
    );
  } finally {
    await content.close();
  }
}
