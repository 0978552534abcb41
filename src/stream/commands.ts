import type { ByteReader } from './byte-reader.ts';
import { Command } from './constants.ts';

/** The commands of precopy migration, and the length of each one's data in bytes. */
const LENGTHS = new Map<number, number>([
  [Command.OPEN_RETURN_PATH, 0],
  [Command.PING, 4],
  [Command.SWITCHOVER_START, 0],
]);

/** Commands that start another kind of migration. */
const REFUSED = new Map<number, string>([
  [Command.POSTCOPY_ADVISE, 'postcopy'],
  [Command.POSTCOPY_LISTEN, 'postcopy'],
  [Command.POSTCOPY_RUN, 'postcopy'],
  [Command.POSTCOPY_RAM_DISCARD, 'postcopy'],
  [Command.PACKAGED, 'packaged state (used by postcopy and COLO)'],
  [Command.ENABLE_COLO, 'COLO'],
  [Command.POSTCOPY_RESUME, 'postcopy recovery'],
  [Command.RECV_BITMAP, 'postcopy recovery'],
]);

export interface StreamCommand {
  /** A value of `Command`. */
  readonly command: number;
  readonly data: Uint8Array;
}

/**
 * Reads a COMMAND whose first byte has been taken already: be16 command, be16 length, data.
 *
 * @throws MultifdError ERR_UNSUPPORTED for postcopy, COLO and their like; ERR_STREAM for an
 *   unknown command or a wrong length.
 */
export async function parseCommand(reader: ByteReader): Promise<StreamCommand> {
  await reader.ensure(4);
  const at = reader.position;
  const command = reader.u16();
  const length = reader.u16();
  const refused = REFUSED.get(command);
  if (refused !== undefined) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the source uses ${refused}, which is not supported; turn it off at the source`,
      at,
    );
  }
  const expected = LENGTHS.get(command);
  if (expected === undefined)
    throw reader.error('ERR_STREAM', `command ${command} is not known`, at);
  if (length !== expected) {
    throw reader.error(
      'ERR_STREAM',
      `command ${command} has ${length} bytes of data; expected ${expected}`,
      at,
    );
  }
  await reader.ensure(length);
  return { command, data: reader.bytes(length).slice() };
}
