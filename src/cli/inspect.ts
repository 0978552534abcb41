import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { MultifdError } from '../errors.ts';
import { inspectImage } from '../image/index.ts';
import { inspectRecording } from '../recording/index.ts';
import { printJson, printResult } from './json.ts';
import { addOffsetOption, addPageSizeOption } from './options.ts';
import { recordingText } from './recording-report.ts';
import { imageText } from './report.ts';
import { printError, statusOf } from './run.ts';

interface InspectOptions {
  json?: true;
  /** Bytes; of an image. */
  offset: number;
  /** Bytes; of a recording, for an image says it itself. */
  pageSize?: number;
}

const EXAMPLES = `
Examples:
  $ multifd inspect guest.mapped
  $ multifd inspect guest.mapped --json | jq .totals
  $ multifd inspect guest.rec --json | jq .channels
`;

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('say what is in an image or a recording')
    .description('Says what is in a mapped-ram image or a recording: machine type, blocks, pages, device sections; sizes, or channels, packets and rounds.')
    .argument('<path>', 'a mapped-ram image, or the folder of a recording');
  addPageSizeOption(addOffsetOption(command))
    .option('--json', 'write one JSON object to stdout')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: InspectOptions) => {
      process.exitCode = await inspect(path, options);
    });
}

async function inspect(path: string, { json, offset, pageSize }: InspectOptions): Promise<number> {
  try {
    if (await isFolder(path)) {
      const report = await inspectRecording(path, { ...(pageSize !== undefined && { pageSize }) });
      if (json) printJson(report);
      else process.stdout.write(`${recordingText(path, report)}\n`);
      return 0;
    }
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

/** Images are files, recordings are folders. What can't be looked at is for the reader of images to report. */
async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
