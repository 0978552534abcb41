import { type Command, InvalidArgumentError, Option } from 'commander';
import { checkCompression, COMPRESSIONS, type Compression } from '../compression/index.ts';
import { DEFAULT_MAX_TAIL } from '../stream/index.ts';

/** How a command speaks. */
export interface OutputOptions {
  /** JSON Lines on stdout instead of text. */
  json?: true;
  /** Nothing but errors and, with `json`, JSON. */
  quiet?: true;
}

/** The options of both ends of a migration, by the names and in the units of the library. */
export interface EndOptions extends OutputOptions {
  channels: number;
  compression: Compression;
  uuid?: string;
  switchoverAck?: true;
  pageSize: number;
  /** Milliseconds. */
  timeout: number;
  force?: true;
}

/** The library checks ranges; what is checked here is only that a value can be read at all. */
export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}

function compressionMethod(text: string): Compression {
  try {
    return checkCompression(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Bytes, with QEMU's suffixes for powers of 1024. */
export function byteCount(text: string): number {
  const parts = /^(\d+)([KMGT]?)$/i.exec(text);
  if (parts === null)
    throw new InvalidArgumentError('Give a number of bytes such as 4096, 64K, 100M or 1T.');
  return Number(parts[1]) * 1024 ** ' KMGT'.indexOf(parts[2]!.toUpperCase() || ' ');
}

/** Seconds, as milliseconds. */
export function seconds(text: string): number {
  const milliseconds = Math.round(Number(text) * 1000);
  if (!/^\d*\.?\d+$/.test(text) || milliseconds < 1)
    throw new InvalidArgumentError('Give seconds above 0, such as 30 or 0.5.');
  return milliseconds;
}

export function addEndOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--channels <n>', 'multifd channels, 1 to 255; the same at both ends')
        .argParser(wholeNumber)
        .default(2),
    )
    .addOption(
      new Option('--compression <method>', `${COMPRESSIONS.join(', ')}; the same at both ends`)
        .argParser(compressionMethod)
        .default('none'),
    )
    .option('--uuid <uuid>', "the VM's uuid; the same at both ends")
    .option(
      '--switchover-ack',
      'the source waits for the target before its last pass; the same at both ends',
    )
    .addOption(
      new Option('--page-size <bytes>', 'a power of two, 4096 to 512K; the same at both ends')
        .argParser(byteCount)
        .default(4096),
    )
    .addOption(timeoutOption());
}

/** For those who wait for a target's word. */
export function addCommitTimeoutOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--commit-timeout <seconds>',
      'for the target to put everything in place once it has been sent',
    )
      .argParser(seconds)
      .default(600_000, '600'),
  );
}

function timeoutOption(what = 'for connecting, the handshake, and no progress at all'): Option {
  return new Option('--timeout <seconds>', what).argParser(seconds).default(30_000, '30');
}

export function addTimeoutOption(command: Command, what?: string): Command {
  return command.addOption(timeoutOption(what));
}

/** For those who only listen: a source mostly says it itself. */
export function addPageSizeOption(command: Command): Command {
  return command.addOption(
    new Option('--page-size <bytes>', "the source's (default: what it says, or 4096)").argParser(
      byteCount,
    ),
  );
}

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'write JSON Lines to stdout, the result last')
    .option('--quiet', 'say nothing but errors');
}

export function addForceOption(command: Command, what: string): Command {
  return command.option('--force', `replace ${what} that is there already`);
}

export function addDeviceStateOption(command: Command): Command {
  return command.addOption(
    new Option('--max-device-state <bytes>', 'the most that device state may take')
      .argParser(byteCount)
      .default(DEFAULT_MAX_TAIL, '64M'),
  );
}

export function addOffsetOption(command: Command): Command {
  return command.addOption(
    new Option('--offset <bytes>', 'where the image starts in the file')
      .argParser(byteCount)
      .default(0),
  );
}
