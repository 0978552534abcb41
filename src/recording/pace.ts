import { setTimeout as sleep } from 'node:timers/promises';
import { MultifdError } from '../util/errors.ts';
import type { ConnectionId, Recording } from './recording.ts';
import { type Arrived, readTimes } from './stream-file.ts';

/** How far into a connection's bytes it is time for. */
export interface Pace {
  /**
   * Gives a position beyond `position` once the bytes up to there are due. The connection's last
   * position is enough for all beyond.
   */
  next(position: number): Promise<number>;
  close(): Promise<void>;
}

/** Every byte is due. */
export function noPace(size: number): Pace {
  return { next: () => Promise.resolve(size), async close() {} };
}

/** What all connections of one replay share. */
export interface Clock {
  /** Milliseconds since the first connection. */
  now(): number;
  /** Ends every sleep. */
  signal: AbortSignal;
  /** Told when a connection starts (1) and ends (-1) waiting for a time. */
  onSleep(change: 1 | -1): void;
}

/**
 * Bytes are due at the times they came when they were recorded.
 * @throws MultifdError ERR_RECORDING if the times were not kept; ERR_IO. So does the pace itself,
 *   for times that are broken.
 */
export async function recordedPace(
  recording: Recording,
  identified: ConnectionId,
  size: number,
  clock: Clock,
): Promise<Pace> {
  const file = await recording.times(identified);
  if (file === undefined)
    throw new MultifdError(
      'ERR_RECORDING',
      `${recording.path} has no times: replay it without --timing`,
      { channel: identified },
    );
  const lines = readTimes(file);
  let line: Arrived = { milliseconds: 0, bytes: 0 };
  return {
    async next(position) {
      while (line.bytes <= position) {
        const { done, value } = await lines.next();
        if (done) return size; // times that end early hold nothing back
        line = value;
      }
      const wait = line.milliseconds - clock.now();
      if (wait > 0) {
        clock.onSleep(1);
        try {
          await sleep(wait, undefined, { signal: clock.signal });
        } finally {
          clock.onSleep(-1);
        }
      }
      return Math.min(line.bytes, size);
    },
    close: () => file.close(),
  };
}
