#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { MultifdError } from '../util/errors.ts';
import { addCompletion } from './commands/completion.ts';
import { addExtract } from './commands/extract.ts';
import { addInspect } from './commands/inspect.ts';
import { printResult } from './output/format.ts';
import { noteOptions, printError } from './output/errors.ts';
import { noStatistics, statusOf } from './run.ts';
import { addProxy } from './commands/proxy.ts';
import { addReceive } from './commands/receive.ts';
import { addRecord } from './commands/record.ts';
import { addReplay } from './commands/replay.ts';
import { addSend } from './commands/send.ts';

const EXAMPLES = `
Examples:
  $ multifd receive tcp:127.0.0.1:4444 out.img --channels 4
  $ multifd send disk.img tcp:127.0.0.1:4444 --channels 4
  $ multifd inspect out.img
  $ multifd extract out.img disk.img copy.img

Exit status: 0 completed, 1 failed, 2 wrong usage, 130 after Ctrl-C.
`;

const COMMANDS = [
  { name: 'send', add: addSend },
  { name: 'receive', add: addReceive },
  { name: 'inspect', add: addInspect },
  { name: 'extract', add: addExtract },
  { name: 'record', add: addRecord },
  { name: 'replay', add: addReplay },
  { name: 'proxy', add: addProxy },
  { name: 'completion', add: addCompletion },
] as const;

/** The bundle is one folder below the package's own. */
function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function createProgram(): Command {
  const program = new Command('multifd')
    .description(
      "Moves large memory over parallel channels, in QEMU's multifd wire format and " +
        'mapped-ram file format.',
    )
    .version(packageVersion())
    .addHelpText('after', EXAMPLES)
    // Errors of usage are printed like all others, by reportUsage.
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const { add } of COMMANDS) add(program);
  program.hook('preAction', (_, command) => noteOptions(command));
  return program;
}

/** As a sentence of ours: commander's guess at what was meant stands on a line of its own. */
function inOneLine(message: string): string {
  return message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/s, ': did you mean $1?')
    .replace(/[.?]$/, (end) => (end === '.' ? '' : end))
    .replaceAll('\n', ' ');
}

/** Where it says how what was asked for is used. */
function helpOf(): string {
  const asked = process.argv.slice(2).find((word) => COMMANDS.some(({ name }) => name === word));
  return `multifd ${asked === undefined ? '' : `${asked} `}--help says how it is used`;
}

/** @returns the exit status. */
function reportUsage({ code, exitCode, message }: CommanderError): number {
  if (exitCode === 0) return 0;
  // Without any command, the help has been printed already.
  if (code === 'commander.help') return 2;
  const error = new MultifdError('ERR_OPTION', `${inOneLine(message)}; ${helpOf()}`);
  // The options could not be parsed, but a caller that asked for JSON still gets JSON.
  if (process.argv.includes('--json')) printResult(noStatistics(0), error);
  printError(error);
  return statusOf(error);
}

// A reader such as `head` that has seen enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await createProgram().parseAsync();
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = reportUsage(thrown);
}
