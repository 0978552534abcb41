import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { MultifdError } from '../../util/errors.ts';
import { STANDARD } from '../standard.ts';
import { inspectDevices, inspectImage, isWebAddress } from '../../image/index.ts';
import {
  finishReplacing,
  inspectRecordedDevices,
  inspectRecording,
} from '../../recording/index.ts';
import { deviceText } from '../output/device-text.ts';
import { printDevices, printJson, printResult } from '../output/format.ts';
import {
  addDeviceStateOption,
  addOffsetOption,
  addPageSizeOption,
  addImageTokenOption,
  tokenIn,
} from '../options.ts';
import { recordingText } from '../output/recording-report.ts';
import { imageText } from '../output/report.ts';
import { printError } from '../output/errors.ts';
import { statusOf } from '../run.ts';

interface InspectOptions {
  json?: true;
  devices?: true;
  /** `idstr` or `idstr#instance`. */
  device?: string;
  /** Bytes; of an image. */
  offset: number;
  /** Bytes. */
  maxDeviceState: number;
  /** Of an image. */
  tokenFile?: string;
  /** Bytes; of a recording, for an image says it itself. */
  pageSize?: number;
}

const EXAMPLES = `
Examples:
  $ multifd inspect guest.mapped
  $ multifd inspect guest.mapped --json | jq .totals
  $ multifd inspect guest.rec --json | jq .channels
  $ multifd inspect guest.mapped --devices
  $ multifd inspect guest.mapped --device cpu#0

Fields are told from the description that QEMU appends: where in the device
section they are, and what they hold. Bytes that it tells no more of are shown
in hex. As JSON, 64-bit integers are decimal strings, and bytes are hex and
complete.
`;

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary('say what is in an image or a recording')
    .description(
      'Says what is in a mapped-ram image or a recording: machine type, blocks, pages, ' +
        'device sections; sizes, or channels, packets and rounds.',
    )
    .argument(
      '<path>',
      'a mapped-ram image, its http: or https: URL, or the folder of a recording',
    );
  addPageSizeOption(addDeviceStateOption(addOffsetOption(addImageTokenOption(command))))
    .option('--devices', 'show all fields of all devices instead')
    .option(
      '--device <name>',
      'show all fields of one device, given as its name or, if it has several instances, ' +
        'name#instance',
    )
    .option('--json', 'write one JSON object to stdout')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: InspectOptions) => {
      process.exitCode = await inspect(path, options);
    });
}

async function inspect(path: string, options: InspectOptions): Promise<number> {
  try {
    if (path === STANDARD)
      throw new MultifdError(
        'ERR_OPTION',
        '- is standard input, which is read in order only, and an image is read here and there: ' +
          'give a file',
      );
    if (options.devices || options.device !== undefined) await showDevices(path, options);
    else await showOutline(path, options);
    return 0;
  } catch (thrown) {
    const error = MultifdError.from(thrown);
    if (options.json) printResult({}, error);
    printError(error);
    return statusOf(error);
  }
}

async function showOutline(path: string, options: InspectOptions): Promise<void> {
  const { json, offset, pageSize, maxDeviceState, tokenFile } = options;
  if (await isFolder(path)) {
    const given = pageSize === undefined ? {} : { pageSize };
    const report = await inspectRecording(path, { maxDeviceState, ...given });
    if (json) printJson(report);
    else process.stdout.write(`${recordingText(path, report)}\n`);
  } else {
    const token = await shown(tokenFile);
    const report = await inspectImage(path, { offset, maxDeviceState, ...token });
    if (json) printJson(report);
    else process.stdout.write(`${imageText(path, report)}\n`);
  }
}

async function showDevices(path: string, options: InspectOptions): Promise<void> {
  const { json, offset, pageSize, device, maxDeviceState, tokenFile } = options;
  const wanted = { maxDeviceState, ...(device !== undefined && { device }) };
  const devices = (await isFolder(path))
    ? await inspectRecordedDevices(path, { ...wanted, ...(pageSize !== undefined && { pageSize }) })
    : await inspectDevices(path, { ...wanted, offset, ...(await shown(tokenFile)) });
  if (json) printDevices(devices);
  else if (devices === null)
    process.stdout.write('device sections: no description to tell them apart by\n');
  else if (devices.length === 0) process.stdout.write('device sections: none\n');
  // Device by device, since the text of all can be large.
  else
    devices.forEach((shown, index) =>
      process.stdout.write(`${index === 0 ? '' : '\n'}${deviceText(shown)}\n`),
    );
}

/**
 * Images are files, recordings are folders. What can't be opened is for the reader of images to
 * report.
 */
async function isFolder(path: string): Promise<boolean> {
  // A recording whose replacing was cut off has no name yet.
  if (!isWebAddress(path)) await finishReplacing(path);
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function shown(tokenFile: string | undefined): Promise<{ token?: string }> {
  const token = await tokenIn(tokenFile);
  return token === undefined ? {} : { token };
}
