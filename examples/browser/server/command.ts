import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { MultifdError } from 'multifd';

/** What a server exits with: as `multifd` does. */
const STATUS = { failed: 1, wrongUsage: 2 } as const;

/** A server's command, with the port that all of them have. */
export function serverCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option('--port <n>', 'where to listen on 127.0.0.1; 0 is any free one')
        .argParser(port)
        .default(8080),
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} });
}

/** A whole number for an option or an argument. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < least || number > most)
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    return number;
  };
}

const port = wholeNumber(0, 65_535);

/** Starts the server; what goes wrong is one line on stderr. */
export async function runServer(command: Command): Promise<void> {
  try {
    await command.parseAsync();
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return;
      const message = thrown.message.replace(/^error: /, '').replaceAll('\n', ' ');
      complain(command, `ERR_OPTION: ${message}; --help says how it is used`);
      process.exitCode = STATUS.wrongUsage;
    } else {
      const { code, message } = MultifdError.from(thrown);
      complain(command, `${code}: ${message}`);
      process.exitCode = STATUS.failed;
    }
  }
}

function complain(command: Command, text: string): void {
  console.error(`${command.name()}: ${text}`);
}
