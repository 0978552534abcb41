import type { Command } from 'commander';
import { replay } from '../../recording/index.ts';
import {
  addCommitTimeoutOption,
  addOutputOptions,
  addVerboseOption,
  addTimeoutOption,
  type OutputOptions,
  addTokenOption,
  tokenIn,
} from '../options.ts';
import { runRecording } from '../run.ts';

interface ReplayCommandOptions extends OutputOptions {
  timing?: true;
  tokenFile?: string;
  /** Milliseconds. */
  timeout: number;
  /** Milliseconds. */
  commitTimeout: number;
}

const EXAMPLES = `
Examples:
  $ multifd replay vm.rec tcp:127.0.0.1:4445
  $ multifd replay vm.rec unix:/run/target.sock --timing    as slowly as it came
`;

export function addReplay(program: Command): void {
  const command = program
    .command('replay')
    .summary('play a recorded migration to a target')
    .description(
      'Sends the bytes of a recorded migration to a target that listens, each connection as ' +
        'it came.',
    )
    .argument('<folder>', 'a recording')
    .argument('<uri>', 'tcp:HOST:PORT, unix:PATH, ws://HOST:PORT/PATH or http://HOST:PORT/PATH')
    .option('--timing', 'send when it came, not as fast as the target takes it');
  addTokenOption(addCommitTimeoutOption(addTimeoutOption(command)));
  addVerboseOption(addOutputOptions(command))
    .addHelpText('after', EXAMPLES)
    .action(
      async (
        path: string,
        uri: string,
        { json, quiet, verbose, tokenFile, ...options }: ReplayCommandOptions,
      ) => {
        process.exitCode = await runRecording(
          { ...(json && { json }), ...(quiet && { quiet }), ...(verbose && { verbose }) },
          'replaying',
          async ({ signal, onProgress }) => {
            const token = await tokenIn(tokenFile);
            return replay({
              ...options,
              signal,
              onProgress,
              uri,
              path,
              ...(token !== undefined && { token }),
            });
          },
        );
      },
    );
}
