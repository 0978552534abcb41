import { type Command, Option } from 'commander';
import { MultifdError } from '../../util/errors.ts';
import {
  extractBlock,
  extractCore,
  type CoreReport,
  type ExtractOptions,
  type ExtractTarget,
} from '../../image/index.ts';
import { formatBytes, printable, printResult } from '../output/format.ts';
import {
  addDeviceStateOption,
  addForceOption,
  addOffsetOption,
  addOutputOptions,
  type OutputOptions,
  addImageTokenOption,
  tokenIn,
} from '../options.ts';
import { progressBar } from '../output/progress.ts';
import { interruptible } from '../run.ts';
import { checkOutput, STANDARD, writeOutput } from '../standard.ts';

const FORMATS = ['raw', 'elf'] as const;

interface ExtractFlags extends OutputOptions {
  tokenFile?: string;
  format: (typeof FORMATS)[number];
  force?: true;
  /** Bytes. */
  offset: number;
  maxDeviceState: number;
}

/** What the command has to say at its end. */
interface Extracted {
  readonly text: string;
  readonly content: object;
}

const EXAMPLES = `
Formats:
  raw  one RAM block, whose name is given: exactly its length
  elf  all RAM of an x86 PC by its physical addresses, with the CPUs' registers:
       a core file for gdb, and for whatever reads those of QEMU's
       dump-guest-memory, whose notes it has. Firmware and devices' memory are
       not in it; from 640 KiB to 1 MiB it has the RAM, even where the guest
       sees something else

Examples:
  $ multifd extract disk.mapped disk.img copy.img
  $ multifd extract guest.mapped pc.ram ram.bin --force
  $ multifd extract guest.mapped --format elf guest.core
  $ multifd extract disk.mapped disk.img - | sha256sum
`;

export function addExtract(program: Command): void {
  const command = program
    .command('extract')
    .summary("write one RAM block's bytes, or a VM's RAM as a core file")
    .description(
      "Writes one RAM block's bytes to a file, or all RAM of an x86 PC as an ELF core file. " +
        'There are holes where pages are zero.',
    )
    .usage(
      '[options] <image> <block> <file>\n       multifd extract [options] <image> --format ' +
        'elf <file>',
    )
    .argument('<image>', 'a mapped-ram image, or its http: or https: URL')
    .argument(
      '<names...>',
      "the block's name, as inspect prints it (not with --format elf), and the file to write; - " +
        'is standard output',
    )
    .addOption(new Option('--format <format>', 'what to write').choices(FORMATS).default('raw'));
  addForceOption(addDeviceStateOption(addOffsetOption(addImageTokenOption(command))), 'a file');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (image: string, names: readonly string[], flags: ExtractFlags) => {
      process.exitCode = await extract(image, names, flags);
    });
}

async function extract(
  image: string,
  names: readonly string[],
  flags: ExtractFlags,
): Promise<number> {
  const { format, json, quiet, force, offset, maxDeviceState, tokenFile } = flags;
  const bar = progressBar('extracting');
  const onProgress = (done: number, total: number): void => {
    if (!json && !quiet) bar.update(done, total);
  };
  return interruptible(async (signal) => {
    try {
      const token = await tokenIn(tokenFile);
      const options: ExtractOptions = {
        offset,
        maxDeviceState,
        signal,
        onProgress,
        ...(force && { force }),
        ...(token !== undefined && { token }),
      };
      const streamed = names.at(-1) === STANDARD;
      if (streamed) checkOutput(flags);
      const { text, content } = await (format === 'elf'
        ? core(image, names, options)
        : block(image, names, options)
      ).finally(() => bar.stop());
      if (json) printResult(content);
      else if (!quiet) (streamed ? process.stderr : process.stdout).write(`${text}\n`);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (json) printResult({ ...(format === 'raw' && { block: names[0] }), bytes: 0 }, error);
      throw error;
    }
  });
}

async function block(
  image: string,
  names: readonly string[],
  options: ExtractOptions,
): Promise<Extracted> {
  const [id, file] = names;
  if (id === undefined || file === undefined || names.length > 2)
    throw wrongNames('give the image, the name of a block, and the file to write', names);
  const bytes = await extractBlock(image, id, outputOf(file), options);
  return {
    text: `${printable(id)}: ${bytes} bytes (${formatBytes(bytes)}) to ${nameOf(file)}`,
    content: { block: id, bytes },
  };
}

async function core(
  image: string,
  names: readonly string[],
  options: ExtractOptions,
): Promise<Extracted> {
  const [file] = names;
  if (file === undefined || names.length > 1)
    throw wrongNames(
      'with --format elf, give the image and the file to write, and no block',
      names,
    );
  const report = await extractCore(image, outputOf(file), options);
  return { text: coreText(report, file), content: report };
}

function coreText({ cpus, segments }: CoreReport, file: string): string {
  const ram = segments.map(
    ({ 'physical-address': address, bytes }) =>
      `${bytes} bytes (${formatBytes(bytes)}) of RAM at 0x${address.toString(16)}`,
  );
  const registers =
    cpus === 0 ? 'no registers' : `the registers of ${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'}`;
  return `${ram.join(', ')}, ${registers} to ${nameOf(file)}`;
}

function outputOf(file: string): ExtractTarget {
  return file === STANDARD ? { write: writeOutput } : file;
}

function nameOf(file: string): string {
  return file === STANDARD ? 'standard output' : file;
}

function wrongNames(what: string, names: readonly string[]): MultifdError {
  return new MultifdError(
    'ERR_OPTION',
    `${what}; there are ${names.length} names after the image (--help says how it is used)`,
  );
}
