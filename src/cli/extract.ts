import type { Command } from 'commander';
import { MultifdError } from '../errors.ts';
import { extractBlock } from '../image/index.ts';
import { formatBytes, printable } from './format.ts';
import { printResult } from './json.ts';
import { addForceOption, addOffsetOption, addOutputOptions, type OutputOptions } from './options.ts';
import { progressBar } from './progress.ts';
import { interruptible } from './run.ts';

interface ExtractOptions extends OutputOptions {
  force?: true;
  /** Bytes. */
  offset: number;
}

const EXAMPLES = `
Examples:
  $ multifd extract disk.mapped disk.img copy.img
  $ multifd extract guest.mapped pc.ram ram.bin --force
`;

export function addExtract(program: Command): void {
  const command = program
    .command('extract')
    .summary("write one RAM block's bytes to a file")
    .description("Writes one RAM block's bytes to a file: exactly its length, with holes where pages are zero.")
    .argument('<image>', 'a mapped-ram image')
    .argument('<block>', "the block's name, as inspect prints it")
    .argument('<file>', 'the file to write');
  addForceOption(addOffsetOption(command), 'a file');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (image: string, block: string, file: string, options: ExtractOptions) => {
      process.exitCode = await extract(image, block, file, options);
    });
}

async function extract(image: string, block: string, file: string, { json, quiet, force, offset }: ExtractOptions): Promise<number> {
  const bar = progressBar('extracting');
  const onProgress = (done: number, total: number): void => {
    if (!json && !quiet) bar.update(done, total);
  };
  return interruptible(async (signal) => {
    try {
      const bytes = await extractBlock(image, block, file, { offset, signal, onProgress, ...(force && { force }) }).finally(() => bar.stop());
      if (json) printResult({ block, bytes });
      else if (!quiet) process.stdout.write(`${printable(block)}: ${bytes} bytes (${formatBytes(bytes)}) to ${file}\n`);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (json) printResult({ block, bytes: 0 }, error);
      throw error;
    }
  });
}
