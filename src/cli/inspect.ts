import type { Command } from 'commander';
import { MultifdError } from '../errors.ts';
import { inspectImage } from '../image/index.ts';
import { printJson, printResult } from './json.ts';
import { addOffsetOption } from './options.ts';
import { imageText } from './report.ts';
import { printError, statusOf } from './run.ts';

interface InspectOptions {
  json?: true;
  /** Bytes. */
  offset: number;
}

const EXAMPLES = `
Examples:
  $ multifd inspect guest.mapped
  $ multifd inspect guest.mapped --json | jq .totals
`;

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('say what is in an image')
    .description('Says what is in a mapped-ram image: blocks, pages present and zero, size on disk, machine type, device sections.')
    .argument('<image>', 'a mapped-ram image');
  addOffsetOption(command)
    .option('--json', 'write one JSON object to stdout')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: InspectOptions) => {
      process.exitCode = await inspect(path, options);
    });
}

async function inspect(path: string, { json, offset }: InspectOptions): Promise<number> {
  try {
    const report = await inspectImage(path, { offset });
    if (json) printJson(report);
    else process.stdout.write(`${imageText(path, report)}\n`);
    return 0;
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    if (json) printResult({}, error);
    printError(error);
    return statusOf(error);
  }
}
