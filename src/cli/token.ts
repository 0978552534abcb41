import { readText } from '#files';
import { type Command, Option } from 'commander';

/**
 * A token is read from a file, for what is said in a command is there for everybody on the machine
 * to see.
 */
export function addTokenOption(command: Command): Command {
  return command.option(
    '--token-file <file>',
    'with the token that a client shows over ws: and http:; the same at both ends',
  );
}

/** For commands that listen for a source, or for anybody. */
export function addOriginOption(command: Command, name = '--origin', where = 'here'): Command {
  const what = `whose pages may connect ${where} over ws: and http:, as in https://example.com`;
  const how = '* is any; give it again for more (default: with a token any, without none)';
  return command.addOption(new Option(`${name} <origin>`, `${what}; ${how}`).argParser(collect));
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
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
