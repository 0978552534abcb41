/**
 * A recording is a folder with one file per connection, each the bytes as they came and nothing
 * else:
 *
 *     main          the main channel, a whole main stream
 *     channel-0     a multifd channel, from its initial packet on; channel-1, ... likewise
 *     main.times    when they came; one such file beside each of the above
 *     return-path   what the source was answered, if it asked to be
 *
 * A line of a `.times` file is `MILLISECONDS BYTES`: at that time since the first connection, so
 * many bytes of the file had come. Both numbers grow or stay from line to line.
 */
export const RETURN_PATH = 'return-path';

/** The most channels that initial packets can tell apart: their ids have one byte. */
export const MAX_CHANNELS = 256;

const TIMES = '.times';
const CHANNEL = /^channel-(0|[1-9]\d{0,2})$/;

/** A connection: the main channel, or a multifd channel's id. */
export type ConnectionId = number | 'main';

export function dataName(identified: ConnectionId): string {
  return identified === 'main' ? 'main' : `channel-${identified}`;
}

export function timesName(identified: ConnectionId): string {
  return dataName(identified) + TIMES;
}

/** The connection whose bytes a file of this name holds; undefined for any other file. */
export function connectionOf(name: string): ConnectionId | undefined {
  if (name === 'main') return 'main';
  const id = Number(CHANNEL.exec(name)?.[1] ?? MAX_CHANNELS);
  return id < MAX_CHANNELS ? id : undefined;
}

/** Whether a recording has files of this name. */
export function isOwnName(name: string): boolean {
  return (
    name === RETURN_PATH ||
    connectionOf(name.endsWith(TIMES) ? name.slice(0, -TIMES.length) : name) !== undefined
  );
}
