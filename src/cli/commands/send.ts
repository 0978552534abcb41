import { type Command, Option } from 'commander';
import { send, type ZeroPageDetection } from '../../migration/outgoing/index.ts';
import { reportRejected, runMigration } from '../run.ts';
import { describeSource } from '../source.ts';
import {
  addCommitTimeoutOption,
  addDeviceStateOption,
  addEndOptions,
  addForceOption,
  addOffsetOption,
  addOutputOptions,
  addVerboseOption,
  byteCount,
  type EndOptions,
  wholeNumber,
  addTokenOption,
  tokenIn,
  addTlsOptions,
  type TlsOptions,
  tlsOf,
} from '../options.ts';

interface SendOptions extends EndOptions, TlsOptions {
  multifd?: boolean;
  postcopy?: true;
  postcopyAfter?: number;
  postcopyPreempt?: true;
  resume?: true;
  listen?: true;
  tokenFile?: string;
  /** With the token for the server of the source's URL. */
  imageTokenFile?: string;
  tlsHostname?: string;
  tlsPskUsername?: string;
  zlibLevel: number;
  zstdLevel: number;
  zeroPageDetection: ZeroPageDetection;
  /** Milliseconds. */
  commitTimeout: number;
  /** Bytes per second. */
  maxBandwidth: number;
  /** Bytes. */
  offset: number;
  raw?: true;
  /** What the block of a plain file is called. */
  block?: string;
}

const EXAMPLES = `
Examples:
  $ multifd send disk.img tcp:192.0.2.7:4444 --channels 4
  $ multifd send guest.mapped unix:/run/target.sock --compression zstd
  $ multifd send disk.img tcp:[2001:db8::7]:4444 --max-bandwidth 100M
  $ multifd send disk.img tcp:192.0.2.7:4444 --tls-creds-dir /etc/pki/qemu \\
      --tls-hostname target.example.com
  $ multifd send disk.img wss://edge.example.com/vm --token-file token
  $ multifd send https://images.example.com/guest.mapped tcp:192.0.2.7:4444
  A target connects, such as a page:
  $ multifd send disk.img ws://0.0.0.0:8080/ --listen --token-file token
  Write an image without a target:
  $ multifd send disk.img file:disk.mapped
  What another program writes:
  $ zstd -dc disk.img.zst | multifd send - tcp:192.0.2.7:4444 --block disk.img
`;

export function addSend(program: Command): void {
  const command = program
    .command('send')
    .summary('send a file or an image to a target')
    .description(
      'Sends a mapped-ram image, or any other file as one RAM block named after it, to a ' +
        'target that listens.',
    )
    .argument(
      '<source>',
      'a mapped-ram image, its http: or https: URL, or any other file; - is standard input, kept ' +
        'in a temporary file until its length is known',
    )
    .argument(
      '<uri>',
      'tcp:HOST:PORT, unix:PATH, ws://HOST:PORT/PATH, http://HOST:PORT/PATH, or ' +
        'file:PATH[,offset=N] to write an image',
    )
    .option('--image-token-file <file>', "with the token for the server of the source's URL")
    .option('--no-multifd', 'one connection, on which pages go too: the target has multifd off')
    .option('--postcopy', 'the target runs before its memory has come, and asks for what it needs')
    .addOption(
      new Option('--postcopy-after <rounds>', 'rounds over the memory before that').argParser(
        wholeNumber,
      ),
    )
    .option('--postcopy-preempt', 'what it asks for has a connection of its own')
    .option('--resume', 'go on with a postcopy that was cut off: the target says what it lacks')
    .option('--listen', 'listen at the URI, over ws: and http: with a token: the target connects');
  addTokenOption(addCommitTimeoutOption(addEndOptions(command)))
    .addOption(new Option('--zlib-level <n>', '0 to 9').argParser(wholeNumber).default(1))
    .addOption(new Option('--zstd-level <n>', '1 to 20').argParser(wholeNumber).default(1))
    .addOption(
      new Option(
        '--zero-page-detection <where>',
        'who looks for zero pages: nobody, the main thread, or the channels',
      )
        .choices(['none', 'legacy', 'multifd'])
        .default('multifd'),
    )
    .addOption(
      new Option('--max-bandwidth <bytes/s>', 'limit; 0 is none').argParser(byteCount).default(0),
    );
  addDeviceStateOption(command);
  addTlsOptions(command, "the target's certificate")
    .option(
      '--tls-hostname <name>',
      "what the target's certificate has to be for (default: the URI's host)",
    )
    .option('--tls-psk-username <name>', 'whose key of keys.psk to use (default: "qemu")');
  addOffsetOption(command)
    .option('--raw', "send the source's bytes as one RAM block, whatever they begin with")
    .option('--block <name>', "what the block is called (default: the file's name, or stdin)");
  addForceOption(command, 'the file of a file: URI');
  addVerboseOption(addOutputOptions(command))
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, uri: string, options: SendOptions, self: Command) => {
      const {
        json,
        quiet,
        verbose,
        offset,
        raw,
        block,
        tlsCredsDir,
        tlsVerifyPeer,
        tlsHostname,
        tlsPskUsername,
        tokenFile,
        imageTokenFile,
        channels,
        multifd,
        ...migration
      } = options;
      process.exitCode = await runMigration(options, 'sending', async (surroundings, view) => {
        const token = await tokenIn(tokenFile);
        const imageToken = await tokenIn(imageTokenFile);
        const endpoint = {
          uri,
          onListening: view.listening,
          onRejected: reportRejected(options),
          ...(token !== undefined && { token }),
          ...(imageToken !== undefined && { imageToken }),
        };
        return send({
          ...(await describeSource(source, {
            offset,
            ...(raw && { raw }),
            ...(block !== undefined && { block }),
            signal: surroundings.signal,
            shown: !json && !quiet,
          })),
          ...migration,
          // Whether there are any is up to other options, unless it was said how many.
          ...(self.getOptionValueSource('channels') === 'cli' && { channels }),
          ...(multifd === false && { multifd }),
          ...surroundings,
          ...tlsOf(options, { hostname: tlsHostname, pskUsername: tlsPskUsername }),
          ...endpoint,
        });
      });
    });
}
