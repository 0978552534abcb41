import { type Command, Option } from 'commander';
import { MultifdError } from '../util/errors.ts';

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
