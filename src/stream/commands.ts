import type { ByteReader } from './byte-reader.ts';
import { Command } from './constants.ts';

/** Bytes of data of each command, from and to. */
const LENGTHS = new Map<number, readonly [number, number]>([
  [Command.OPEN_RETURN_PATH, [0, 0]],
  [Command.PING, [4, 4]],
  [Command.POSTCOPY_ADVISE, [0, 16]],
  [Command.POSTCOPY_LISTEN, [0, 0]],
  [Command.POSTCOPY_RUN, [0, 0]],
  [Command.POSTCOPY_RAM_DISCARD, [0, 0xffff]],
  [Command.PACKAGED, [4, 4]],
  [Command.POSTCOPY_RESUME, [0, 0]],
  [Command.RECV_BITMAP, [2, 256]],
  [Command.SWITCHOVER_START, [0, 0]],
]);

export interface StreamCommand {
  /** A value of `Command`. */
  readonly command: number;
  readonly data: Uint8Array;
}

/** Whether such a command can be in a stream. @param length bytes of data. */
export function commandLengthFits(command: number, length: number): boolean {
  const [least, most] = LENGTHS.get(command) ?? [1, 0];
  return length >= least && length <= most;
}

/**
 * Reads a COMMAND whose first byte has been taken already: be16 command, be16 length, data.
 *
 * @throws MultifdError ERR_UNSUPPORTED for COLO; ERR_STREAM for an unknown command or a wrong
 *   length.
 */
export async function parseCommand(reader: ByteReader): Promise<StreamCommand> {
  await reader.ensure(4);
  const at = reader.position;
  const command = reader.u16();
  const length = reader.u16();
  if (command === Command.ENABLE_COLO)
    throw reader.error(
      'ERR_UNSUPPORTED',
      'the source uses COLO, which is not supported; turn it off at the source',
      at,
    );
  if (!LENGTHS.has(command))
    throw reader.error('ERR_STREAM', `command ${command} is not known`, at);
  if (!commandLengthFits(command, length)) {
    const [least, most] = LENGTHS.get(command)!;
    throw reader.error(
      'ERR_STREAM',
      `command ${command} has ${length} bytes of data; expected ` +
        (least === most ? `${least}` : `${least} to ${most}`),
      at,
    );
  }
  await reader.ensure(length);
  return { command, data: reader.bytes(length).slice() };
}
