import { type Command, Option } from 'commander';
import { receive } from '../../migration/incoming/index.ts';
import { BlockOutput } from '../block-output.ts';
import type { MigrationStatistics } from '../../migration/statistics.ts';
import { MultifdError } from '../../util/errors.ts';
import type { View } from '../output/progress.ts';
import { reportRejected, runMigration, type Surroundings } from '../run.ts';
import { checkOutput, STANDARD } from '../standard.ts';
import {
  addDeviceStateOption,
  addEndOptions,
  addForceOption,
  addOutputOptions,
  addVerboseOption,
  byteCount,
  type EndOptions,
  addOriginOption,
  addTokenOption,
  tokenIn,
  addRecoveryTimeoutOption,
  addTlsOptions,
  type TlsOptions,
  tlsOf,
} from '../options.ts';

interface ReceiveOptions extends EndOptions, TlsOptions {
  connect?: true;
  tokenFile?: string;
  origin?: string[];
  tlsAuthz?: string[];
  /** Bytes. */
  maxSize: number;
  /** Milliseconds. */
  recoveryTimeout: number;
  /** Which block goes to standard output. */
  block?: string;
}

const EXAMPLES = `
Examples:
  $ multifd receive tcp:0.0.0.0:4444 guest.mapped --channels 4
  $ multifd receive unix:/run/target.sock guest.mapped --compression zstd
  $ multifd receive tcp:0.0.0.0:4444 guest.mapped --tls-creds-dir /etc/pki/qemu
  $ multifd receive ws://0.0.0.0:8080/vm guest.mapped --token-file token
  A free port, which is printed:
  $ multifd receive tcp:127.0.0.1:0 guest.mapped
  Copy an image:
  $ multifd receive file:guest.mapped copy.mapped
  A block's bytes for another program:
  $ multifd receive tcp:0.0.0.0:4444 - --block disk.img | sha256sum
`;

export function addReceive(program: Command): void {
  const command = program
    .command('receive')
    .summary('receive a migration into an image')
    .description(
      'Listens for one migration, and writes it as a mapped-ram image, which is complete or ' +
        'absent.',
    )
    .argument(
      '<uri>',
      'tcp:HOST:PORT (port 0: any free one), unix:PATH, ws://HOST:PORT/PATH, ' +
        'http://HOST:PORT/PATH, or file:PATH[,offset=N] to read an image',
    )
    .argument(
      '<image>',
      "the image to write; - writes a block's bytes to standard output, once all of them are there",
    )
    .option('--block <name>', 'with -, which block (default: the only one)')
    .option('--connect', 'connect to the URI: it is the source that listens');
  addOriginOption(addTokenOption(addEndOptions(command))).addOption(
    new Option('--max-size <bytes>', 'the most that all blocks together may have')
      .argParser(byteCount)
      .default(1024 ** 4, '1T'),
  );
  addDeviceStateOption(command);
  addRecoveryTimeoutOption(command);
  addTlsOptions(command, "the source's certificate").addOption(
    new Option(
      '--tls-authz <dn>',
      'a certificate that may come, as in C=GB,O=Example,CN=source; give it again for more ' +
        '(default: any that verifies)',
    ).argParser((name, before: string[] = []) => [...before, name]),
  );
  addForceOption(command, 'an image');
  addVerboseOption(addOutputOptions(command))
    .addHelpText('after', EXAMPLES)
    .action(async (uri: string, image: string, options: ReceiveOptions) => {
      const { json, quiet, verbose, maxSize, tokenFile, origin, block, ...others } = options;
      const { tlsCredsDir, tlsVerifyPeer, tlsAuthz, ...migration } = others;
      const streamed = image === STANDARD;
      const work = async (surroundings: Surroundings, view: View): Promise<MigrationStatistics> => {
        const token = await tokenIn(tokenFile);
        const who = {
          ...tlsOf(options, { authz: tlsAuthz }),
          ...(token !== undefined && { token }),
          ...(origin !== undefined && { origins: origin }),
        };
        if (streamed) checkOutput(options);
        else if (block !== undefined)
          throw new MultifdError('ERR_OPTION', '--block is for -: an image has all blocks');
        const output = streamed ? new BlockOutput(block, surroundings.signal) : image;
        const onRejected = reportRejected(options);
        const told = { onRejected, onPaused: onRejected };
        const to = { uri, image: output, maxBytes: maxSize, ...told };
        const incoming = await receive({ ...migration, ...surroundings, ...who, ...to });
        if (!incoming.uri.startsWith('file:') && !options.connect) view.listening(incoming.uri);
        return incoming.completed;
      };
      const summaryTo = streamed ? process.stderr : process.stdout;
      process.exitCode = await runMigration(options, 'receiving', work, summaryTo);
    });
}
