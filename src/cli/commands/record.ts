import { type Command, Option } from 'commander';
import { record } from '../../recording/index.ts';
import { reportRejected, runRecording } from '../run.ts';
import {
  addForceOption,
  addOutputOptions,
  addVerboseOption,
  addPageSizeOption,
  addTimeoutOption,
  type OutputOptions,
  wholeNumber,
  addOriginOption,
  addTokenOption,
  tokenIn,
} from '../options.ts';

interface RecordCommandOptions extends OutputOptions {
  channels?: number;
  pageSize?: number;
  /** Milliseconds. */
  timeout: number;
  keep?: true;
  force?: true;
  tokenFile?: string;
  origin?: string[];
}

const EXAMPLES = `
Examples:
  $ multifd record tcp:127.0.0.1:4444 vm.rec
  $ multifd record unix:/run/target.sock vm.rec --keep    also if it fails
  $ multifd inspect vm.rec
  $ multifd replay vm.rec tcp:127.0.0.1:4445
`;

export function addRecord(program: Command): void {
  const command = program
    .command('record')
    .summary('keep a migration as it comes')
    .description(
      'Listens for one migration, and keeps the bytes of each of its connections in a file ' +
        'of its own, with times.',
    )
    .argument(
      '<uri>',
      'tcp:HOST:PORT (port 0: any free one), unix:PATH, ws://HOST:PORT/PATH or ' +
        'http://HOST:PORT/PATH',
    )
    .argument('<folder>', 'the recording to write')
    .addOption(
      new Option(
        '--channels <n>',
        'multifd channels that have to come (default: as many as come)',
      ).argParser(wholeNumber),
    )
    .option('--keep', 'keep what came of a migration that fails or is cancelled');
  addOriginOption(addTokenOption(addTimeoutOption(addPageSizeOption(command))));
  addForceOption(command, 'a recording');
  addVerboseOption(addOutputOptions(command))
    .addHelpText('after', EXAMPLES)
    .action(async (uri: string, path: string, given: RecordCommandOptions) => {
      const { json, quiet, verbose, tokenFile, origin, ...options } = given;
      process.exitCode = await runRecording(
        given,
        'recording',
        async ({ listening, ...surroundings }) => {
          const token = await tokenIn(tokenFile);
          const onRejected = reportRejected({ ...(quiet && { quiet }) });
          const to = {
            uri,
            path,
            onRejected,
            ...(token !== undefined && { token }),
            ...(origin !== undefined && { origins: origin }),
          };
          const incoming = await record({ ...options, ...surroundings, ...to });
          listening(incoming.uri);
          return incoming.completed;
        },
      );
    });
}
