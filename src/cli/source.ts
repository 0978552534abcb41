import { basename } from 'node:path';
import type { LocalFile } from '../files/local-file.ts';
import { readFully } from '../files/random-access.ts';
import { isWebAddress, sourceKind } from '../image/index.ts';
import type { OutgoingOptions } from '../migration/outgoing/index.ts';
import { MultifdError } from '../util/errors.ts';
import { progressBar } from './output/progress.ts';
import { readInput, STANDARD } from './standard.ts';

export interface SourceOptions {
  /** In bytes; above 0 there has to be an image in the file, from there on. */
  offset: number;
  /** Send it as one block, whatever it begins with. */
  raw?: true;
  /** What the block of a plain file is called. */
  block?: string;
  signal: AbortSignal;
  /** Show how much of standard input has been read. */
  shown: boolean;
}

type Sent = Pick<OutgoingOptions, 'image' | 'imageOffset' | 'blocks'>;

/**
 * What a SOURCE is sent as: a mapped-ram image as itself, which is all that a URL can be; any other
 * file as one RAM block named after it, unless it holds a guest in a form that is not sent as such.
 *
 * @throws MultifdError ERR_IO for what is no regular file, or can't be read; ERR_UNSUPPORTED for a
 *   guest in another form; ERR_OPTION.
 */
export async function describeSource(path: string, options: SourceOptions): Promise<Sent> {
  const { offset, raw, block } = options;
  if (raw && (offset > 0 || isWebAddress(path)))
    throw new MultifdError(
      'ERR_OPTION',
      '--raw is for all of a file: leave it out with --offset, or a URL',
    );
  if (path === STANDARD) return describeInput(options);
  // What is not here is not probed first: what a server has is an image, or an error.
  if (isWebAddress(path) || offset > 0) return { image: path, imageOffset: offset };
  if (!raw && (await isImage(path, path))) return { image: path };
  return { blocks: [{ id: block ?? basename(path), source: { path } }] };
}

async function describeInput(options: SourceOptions): Promise<Sent> {
  const { offset, raw, block = 'stdin', signal, shown } = options;
  const bar = progressBar('reading');
  const file = await readInput(signal, (bytes) => {
    if (shown) bar.update(bytes, 0);
  }).finally(() => bar.stop());
  if (offset > 0) return { image: file, imageOffset: offset };
  if (!raw && (await isImage(keptOpen(file), file.name))) return { image: file };
  return {
    blocks: [
      {
        id: block,
        source: {
          byteLength: file.size,
          read: (at, into) => readFully(file, into, at),
        },
      },
    ],
  };
}

/** Who looks at it first does not close it. */
function keptOpen(file: LocalFile): Parameters<typeof sourceKind>[0] {
  const { name, size } = file;
  return { name, size, read: (offset, into) => file.read(offset, into), async close() {} };
}

/** @throws MultifdError ERR_UNSUPPORTED for what is most likely not to be sent as plain bytes. */
async function isImage(source: Parameters<typeof sourceKind>[0], name: string): Promise<boolean> {
  const kind = await sourceKind(source);
  if (typeof kind === 'string') return kind === 'image';
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `${name} ${kind.doubt}: --raw sends its bytes as one block all the same`,
  );
}
