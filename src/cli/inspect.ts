import type { Command } from 'commander';
import { MultifdError } from '../errors.ts';
import { inspectDevices, inspectImage, type InspectDevicesOptions } from '../image/index.ts';
import { deviceText } from './device-text.ts';
import { printDevices, printJson, printResult } from './json.ts';
import { addOffsetOption } from './options.ts';
import { imageText } from './report.ts';
import { printError, statusOf } from './run.ts';

interface InspectOptions {
  json?: true;
  devices?: true;
  /** `idstr` or `idstr#instance`. */
  device?: string;
  /** Bytes. */
  offset: number;
}

const EXAMPLES = `
Examples:
  $ multifd inspect guest.mapped
  $ multifd inspect guest.mapped --json | jq .totals
  $ multifd inspect guest.mapped --devices
  $ multifd inspect guest.mapped --device cpu#0

Fields are told from the description that QEMU appends: where in the device section they are, and what they hold. Bytes that
it tells no more of are shown in hex. As JSON, 64-bit integers are decimal strings, and bytes are hex and complete.
`;

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('say what is in an image')
    .description('Says what is in a mapped-ram image: blocks, pages present and zero, size on disk, machine type, device sections.')
    .argument('<image>', 'a mapped-ram image');
  addOffsetOption(command)
    .option('--devices', 'show all fields of all devices instead')
    .option('--device <name>', 'show all fields of one device, given as its name or, if it has several instances, name#instance')
    .option('--json', 'write one JSON object to stdout')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: InspectOptions) => {
      process.exitCode = await inspect(path, options);
    });
}

async function inspect(path: string, { json, offset, devices, device }: InspectOptions): Promise<number> {
  try {
    if (devices || device !== undefined) return await showDevices(path, { offset, ...(device !== undefined && { device }) }, json);
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

async function showDevices(path: string, options: InspectDevicesOptions, json: true | undefined): Promise<number> {
  const devices = await inspectDevices(path, options);
  if (json) printDevices(devices);
  else if (devices === null) process.stdout.write('device sections: no description to tell them apart by\n');
  else if (devices.length === 0) process.stdout.write('device sections: none\n');
  // Device by device, since the text of all can be large.
  else devices.forEach((device, index) => process.stdout.write(`${index === 0 ? '' : '\n'}${deviceText(device)}\n`));
  return 0;
}
