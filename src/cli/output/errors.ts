import type { Command } from 'commander';
import type { ErrorCode, MultifdError } from '../../util/errors.ts';
import { printable } from './format.ts';
import { wrapped } from './lines.ts';

/** The option that helps; what the library's message says holds for any caller of it. */
const HELP: Readonly<Partial<Record<ErrorCode, { option: string; does: string }>>> = {
  ERR_AUTH: { option: '--token-file', does: 'gives the token' },
  ERR_UUID: { option: '--uuid', does: 'sets it' },
  ERR_CHANNEL_ID: { option: '--channels', does: 'sets the number' },
  ERR_CHANNEL_COUNT: { option: '--channels', does: 'sets the number' },
  ERR_COMPRESSION: { option: '--compression', does: 'sets the method' },
  ERR_TIMEOUT: { option: '--timeout', does: 'sets how long it waits' },
};

let options: readonly string[] = [];

/** Which command runs: errors name its options only. */
export function noteOptions(command: Command): void {
  options = command.options.flatMap(({ long }) => long ?? []);
}

export function printError({ code, message }: MultifdError): void {
  const help = HELP[code];
  const named = help !== undefined && options.includes(help.option);
  const hint = named && !message.includes(help.option) ? ` (${help.option} ${help.does})` : '';
  // The library's option is the command's, too.
  complain(`${code}: ${message.replace('(force)', '(--force)')}${hint}`);
}

/** Says something on stderr, under the command's name. */
export function complain(text: string): void {
  process.stderr.write(`${wrapped(`multifd: ${printable(text)}`, process.stderr, 2)}\n`);
}
