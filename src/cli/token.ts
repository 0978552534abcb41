import { readText } from '#host/files';
import type { Command } from 'commander';

/** A token is read from a file, for what is said in a command is there for everybody on the machine to see. */
export function addTokenOption(command: Command): Command {
  return command.option('--token-file <file>', 'with the token that a client shows over ws: and http:; the same at both ends');
}

/** @throws MultifdError ERR_IO. */
export async function tokenIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return (await readText(file)).trim();
}

/** For commands that only read an image. */
export function addImageTokenOption(command: Command): Command {
  return command.option('--token-file <file>', "with the token for the server of an image's URL");
}
