import { randomUUID } from 'node:crypto';
import { open, type FileHandle, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { MultifdError } from '../util/errors.ts';
import { io, writeFully } from '../files/io.ts';
import { LocalFile, stampOf } from '../files/local-file.ts';

/** What a command takes for standard input or output in place of a file. */
export const STANDARD = '-';

/** Memory can hold anything secret. */
const OWNER_ONLY = 0o600;

/**
 * A file without a name: the system removes it with its last descriptor, however the process ends.
 *
 * @throws MultifdError ERR_IO.
 */
export async function temporaryFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `multifd-${randomUUID()}`);
  const handle = await io(
    `create a temporary file in ${tmpdir()} (TMPDIR says where)`,
    open(path, 'wx+', OWNER_ONLY),
  );
  await io(`remove the name of ${path}`, rm(path));
  return handle;
}

/**
 * All of standard input, kept in a temporary file: the length of a block is sent before its pages,
 * which are read in any order.
 *
 * @param told how many bytes there are so far.
 * @throws MultifdError ERR_OPTION for a terminal; ERR_IO; ERR_CANCELLED.
 */
export async function readInput(
  signal: AbortSignal,
  told: (bytes: number) => void,
): Promise<LocalFile> {
  const { stdin } = process;
  if (stdin.isTTY)
    throw new MultifdError(
      'ERR_OPTION',
      '- is standard input, which is a terminal: pipe something into it, or give a file',
    );
  const handle = await temporaryFile();
  try {
    let size = 0;
    for await (const chunk of addAbortSignal(signal, stdin) as AsyncIterable<Uint8Array>) {
      await writeFully(handle, chunk, size);
      size += chunk.length;
      told(size);
    }
    const found = await io('look at standard input', handle.stat({ bigint: true }));
    return new LocalFile('standard input', handle, stampOf(found));
  } catch (thrown) {
    await handle.close();
    if (signal.aborted)
      throw new MultifdError('ERR_CANCELLED', 'cancelled while standard input was read');
    if (thrown instanceof MultifdError) throw thrown;
    const { message } = thrown as Error;
    throw new MultifdError('ERR_IO', `cannot read standard input: ${message}`, { cause: thrown });
  }
}

/**
 * To be asked before a block's bytes are written to standard output.
 *
 * @throws MultifdError ERR_OPTION if it is a terminal, or has JSON written to it.
 */
export function checkOutput({ json, force }: { json?: true; force?: true }): void {
  if (json)
    throw new MultifdError(
      'ERR_OPTION',
      '- and --json both write to standard output: give a file, or leave --json out',
    );
  if (process.stdout.isTTY && !force)
    throw new MultifdError(
      'ERR_OPTION',
      '- is standard output, which is a terminal: redirect it, give a file, or --force it',
    );
}

/** Writes to standard output, and waits until it has been taken. @throws MultifdError ERR_IO. */
export function writeOutput(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) =>
    process.stdout.write(bytes, (cause) => {
      if (cause == null) return resolve();
      const message = `cannot write to standard output: ${cause.message}`;
      reject(new MultifdError('ERR_IO', message, { cause }));
    }),
  );
}
