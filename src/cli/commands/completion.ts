import { type Argument, type Command, Argument as Positional, type Option } from 'commander';
import { scriptFor, SHELLS, type Shell, type Words } from '../output/completion-script.ts';

const EXAMPLES = `
Examples:
  $ source <(multifd completion bash)          in ~/.bashrc
  $ source <(multifd completion zsh)           in ~/.zshrc, after compinit
  $ multifd completion fish > ~/.config/fish/completions/multifd.fish
`;

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a shell completion script')
    .description('Prints a script that has a shell complete commands, options and their values.')
    .addArgument(new Positional('<shell>', 'which one').choices(SHELLS))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => {
      process.stdout.write(scriptFor(shell, program.commands.map(wordsOf)));
    });
}

/** What can be completed of a command, by what it says of itself. */
function wordsOf(command: Command): Words {
  return {
    name: command.name(),
    summary: command.summary(),
    options: command
      .createHelp()
      .visibleOptions(command)
      .flatMap((option) => (option.long == null ? [] : [describe(option)])),
    choices: command.registeredArguments.flatMap(({ argChoices }: Argument) => argChoices ?? []),
  };
}

function describe({ long, description, argChoices, flags, required }: Option): Words['options'][0] {
  return {
    name: long!,
    description,
    choices: argChoices ?? [],
    takes: !required ? undefined : /<(file|folder)>/.test(flags) ? 'file' : 'value',
  };
}
