import { type Command, InvalidArgumentError, Option } from 'commander';
import { checkCompression, COMPRESSIONS, type Compression } from '../compression/index.ts';
import { DEFAULT_MAX_TAIL } from '../stream/index.ts';
import { MultifdError } from '../util/errors.ts';
import { parseBytes } from '../util/sizes.ts';
import { readText } from '#files';

/** How a command speaks. */
export interface OutputOptions {
  /** JSON Lines on stdout instead of text. */
  json?: true;
  /** Nothing but errors and, with `json`, JSON. */
  quiet?: true;
  /** A table by channel at the end, not one line. */
  verbose?: true;
}

/** The options of both ends of a migration, by the names and in the units of the library. */
export interface EndOptions extends OutputOptions {
  channels: number;
  compression: Compression;
  uuid?: string;
  switchoverAck?: true;
  pageSize?: number;
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

/** Bytes, with QEMU's suffixes for powers of 1024, or hexadecimal. */
export function byteCount(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined)
    throw new InvalidArgumentError('Give bytes such as 4096, 0x1000, 64K, 100M or 1T.');
  return bytes;
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
      new Option('--compression <method>', 'the same at both ends')
        .choices(COMPRESSIONS)
        // It knows of methods that there are elsewhere, too.
        .argParser(compressionMethod)
        .default('none'),
    )
    .option('--uuid <uuid>', "the VM's uuid; the same at both ends")
    .option(
      '--switchover-ack',
      'the source waits for the target before its last pass; the same at both ends',
    )
    .addOption(
      new Option(
        '--page-size <bytes>',
        'a power of two, 1024 to 512K; the same at both ends (default: what an image has, or the ' +
          'source tells; else 4096)',
      ).argParser(byteCount),
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

/** For a target, of a source in postcopy. */
export function addRecoveryTimeoutOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--recovery-timeout <seconds>',
      'for a source that is lost in the middle of postcopy to come back',
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
    new Option('--page-size <bytes>', "the source's (default: what it tells, or 4096)").argParser(
      byteCount,
    ),
  );
}

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'write JSON Lines to stdout, the result last')
    .option('--quiet', 'say nothing but errors');
}

/** For commands that move what has channels. */
export function addVerboseOption(command: Command): Command {
  return command.addOption(
    new Option('--verbose', 'end with a table by channel, not with one line').conflicts('quiet'),
  );
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

/**
 * A token is read from a file, since every user of the machine can see a command's arguments.
 */
export function addTokenOption(command: Command): Command {
  return command.option(
    '--token-file <file>',
    'with the token that a client shows over ws: and http:; the same at both ends',
  );
}

/** For commands that listen. */
export function addOriginOption(command: Command, name = '--origin', where = 'here'): Command {
  const what = `whose pages may connect ${where} over ws: and http:, as in https://example.com`;
  const how = '* is any; give it again for more (default: with a token any, without none)';
  return command.addOption(new Option(`${name} <origin>`, `${what}; ${how}`).argParser(collect));
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** @throws MultifdError ERR_IO. */
export async function tokenIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return (await readText(file)).trim();
}

/** For commands that only read an image. */
export function addImageTokenOption(command: Command): Command {
  return command.option('--token-file <file>', "with the token for the server of an image's URL");
}

/** The TLS options that both ends have. */
export interface TlsOptions {
  tlsCredsDir?: string;
  tlsVerifyPeer?: 'on' | 'off';
}

/** What the library takes for TLS at both ends; an option that was not given is left out. */
type Tls<More> = {
  tls?: { credsDir: string; verifyPeer?: boolean } & {
    [Key in keyof More]?: Exclude<More[Key], undefined>;
  };
};

/** @param what what is verified, for the help. */
export function addTlsOptions(command: Command, what: string): Command {
  return command
    .option(
      '--tls-creds-dir <folder>',
      "use TLS, with a folder of certificates by QEMU's file names, or with keys.psk",
    )
    .addOption(
      new Option(
        '--tls-verify-peer <on|off>',
        `whether ${what} has to verify (default: "on")`,
      ).choices(['on', 'off']),
    );
}

/**
 * The library's TLS options from the command's.
 * @param more those that only this end has, undefined where they were not given.
 * @throws MultifdError ERR_OPTION for any of them without the folder, which would leave the
 *   connections plain.
 */
export function tlsOf<More extends object>(
  { tlsCredsDir: credsDir, tlsVerifyPeer }: TlsOptions,
  more: More,
): Tls<More> {
  const given = Object.fromEntries(
    Object.entries(more).filter(([, value]) => value !== undefined),
  ) as { [Key in keyof More]?: Exclude<More[Key], undefined> };
  if (credsDir !== undefined)
    return {
      tls: {
        ...given,
        credsDir,
        ...(tlsVerifyPeer !== undefined && { verifyPeer: tlsVerifyPeer === 'on' }),
      },
    };
  if (tlsVerifyPeer === undefined && Object.keys(given).length === 0) return {};
  throw new MultifdError(
    'ERR_OPTION',
    'TLS options without --tls-creds-dir: give the folder with the credentials too',
  );
}
