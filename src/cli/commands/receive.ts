import { type Command, Option } from 'commander';
import { receive } from '../../migration/incoming/index.ts';
import { reportRejected, runMigration } from '../run.ts';
import {
  addDeviceStateOption,
  addEndOptions,
  addForceOption,
  addOutputOptions,
  byteCount,
  type EndOptions,
  addOriginOption,
  addTokenOption,
  tokenIn,
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
}

const EXAMPLES = `
Examples:
  $ multifd receive tcp:0.0.0.0:4444 guest.mapped --channels 4
  $ multifd receive tcp:127.0.0.1:0 guest.mapped    a free port, which is printed
  $ multifd receive unix:/run/target.sock guest.mapped --compression zstd
  $ multifd receive tcp:0.0.0.0:4444 guest.mapped --tls-creds-dir /etc/pki/qemu
  $ multifd receive ws://0.0.0.0:8080/vm guest.mapped --token-file token
  $ multifd receive file:guest.mapped copy.mapped   copy an image
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
    .argument('<image>', 'the image to write')
    .option('--connect', 'connect to the URI: it is the source that listens');
  addOriginOption(addTokenOption(addEndOptions(command))).addOption(
    new Option('--max-size <bytes>', 'the most that all blocks together may have')
      .argParser(byteCount)
      .default(1024 ** 4, '1T'),
  );
  addDeviceStateOption(command);
  addTlsOptions(command, "the source's certificate").addOption(
    new Option(
      '--tls-authz <dn>',
      'a certificate that may come, as in C=GB,O=Example,CN=source; give it again for more ' +
        '(default: any that verifies)',
    ).argParser((name, before: string[] = []) => [...before, name]),
  );
  addForceOption(command, 'an image');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (uri: string, image: string, options: ReceiveOptions) => {
      const { json, quiet, maxSize, tokenFile, origin, ...others } = options;
      const { tlsCredsDir, tlsVerifyPeer, tlsAuthz, ...migration } = others;
      process.exitCode = await runMigration(options, 'receiving', async (surroundings, view) => {
        const token = await tokenIn(tokenFile);
        const who = {
          ...tlsOf(options, { authz: tlsAuthz }),
          ...(token !== undefined && { token }),
          ...(origin !== undefined && { origins: origin }),
        };
        const onRejected = reportRejected(options);
        const to = { uri, image, maxBytes: maxSize, onRejected };
        const incoming = await receive({ ...migration, ...surroundings, ...who, ...to });
        if (!incoming.uri.startsWith('file:') && !options.connect) view.listening(incoming.uri);
        return incoming.completed;
      });
    });
}
