import { type Command, Option } from 'commander';
import { proxy, type ProxyOptions } from '../../proxy/index.ts';
import { printJson } from '../output/format.ts';
import { reportRejected, interruptible } from '../run.ts';
import {
  addOutputOptions,
  addTimeoutOption,
  type OutputOptions,
  seconds,
  wholeNumber,
  addOriginOption,
  tokenIn,
} from '../options.ts';

interface ProxyCommandOptions extends OutputOptions {
  rendezvous?: true;
  tokenFile?: string;
  toTokenFile?: string;
  origin?: string[];
  toOrigin?: string[];
  tlsCredsDir?: string;
  toTlsCredsDir?: string;
  maxConnections: number;
  /** Milliseconds, both. */
  timeout: number;
  maxWait: number;
}

const EXAMPLES = `
Examples:
  A QEMU migrates to an edge function:
  $ multifd proxy tcp:127.0.0.1:4444 wss://edge.example.com/vm
  A page migrates to a QEMU:
  $ multifd proxy ws://0.0.0.0:8080/ tcp:127.0.0.1:4444
  A QEMU migrates to a page, which connects too:
  $ multifd proxy tcp:127.0.0.1:4444 ws://127.0.0.1:8080/ --rendezvous
`;

export function addProxy(program: Command): void {
  const command = program
    .command('proxy')
    .summary('join two transports')
    .description(
      'Passes every connection that comes on to another place, and by other means if need ' +
        'be: tcp:, unix:, ws:, wss:, http:, https:. Ends with Ctrl-C.',
    )
    .argument('<from>', 'where to listen')
    .argument('<to>', 'where to connect to')
    .option(
      '--rendezvous',
      'listen at both, and join the connections of either side in the order in which they come',
    )
    .option('--token-file <file>', 'what clients have to show over ws: and http:')
    .option(
      '--to-token-file <file>',
      'what to show, or with --rendezvous has to be shown, at the other side',
    )
    .option('--tls-creds-dir <folder>', 'TLS where it listens')
    .option('--to-tls-creds-dir <folder>', 'TLS at the other side')
    .addOption(
      new Option('--max-connections <n>', 'at a time, of either side')
        .argParser(wholeNumber)
        .default(512),
    );
  addOriginOption(command);
  addOriginOption(command, '--to-origin', 'at the other side with --rendezvous');
  command.addOption(
    new Option('--max-wait <seconds>', 'for a counterpart, with --rendezvous')
      .argParser(seconds)
      .default(600_000, '600'),
  );
  const what =
    'for connecting, the handshake, and no progress at all: when nothing has moved for so long ' +
    'on any of the connections that are open, all of them are closed; one alone may be silent';
  addOutputOptions(addTimeoutOption(command, what))
    .addHelpText('after', EXAMPLES)
    .action(async (from: string, to: string, options: ProxyCommandOptions) => {
      process.exitCode = await interruptible(async (signal) => {
        const running = await proxy({ ...(await optionsOf(options)), from, to });
        if (options.json) printJson({ event: 'listening', uri: running.uri, to: running.toUri });
        else if (!options.quiet)
          process.stdout.write(`listening on ${running.uri}, to ${running.toUri}\n`);
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          else signal.addEventListener('abort', () => resolve(), { once: true });
        });
        await running.close();
        const { connections, transferred } = running.statistics;
        if (options.json) printJson({ event: 'completed', connections, transferred });
        else if (!options.quiet)
          process.stdout.write(`${connections} connections, ${transferred} bytes\n`);
      });
    });
}

async function optionsOf(options: ProxyCommandOptions): Promise<Omit<ProxyOptions, 'from' | 'to'>> {
  const { rendezvous = false, tokenFile, toTokenFile, tlsCredsDir, toTlsCredsDir } = options;
  const { maxConnections, timeout, maxWait, origin, toOrigin } = options;
  const token = await tokenIn(tokenFile);
  const toToken = await tokenIn(toTokenFile);
  return {
    rendezvous,
    maxConnections,
    timeout,
    maxWait,
    ...(token !== undefined && { token }),
    ...(toToken !== undefined && { toToken }),
    ...(origin !== undefined && { origins: origin }),
    ...(toOrigin !== undefined && { toOrigins: toOrigin }),
    ...(tlsCredsDir !== undefined && { tls: { credsDir: tlsCredsDir } }),
    ...(toTlsCredsDir !== undefined && { toTls: { credsDir: toTlsCredsDir } }),
    onRejected: reportRejected(options),
  };
}
