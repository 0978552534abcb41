import { openFile } from '#files';
import { afterwards } from '../../util/callbacks.ts';
import { givenMethods, givenPath, integer, inWords } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { openUrl, type UrlOptions } from './http.ts';
import type { OpfsFile } from '../sinks/opfs-writer.ts';
import type { RandomAccess } from '../../files/random-access.ts';

/**
 * Where an image is: a path, an `http(s)://` URL whose server answers range requests, a Blob or
 * File, a handle of a file in the browser's own file system, or random access of your own, which is
 * closed in the end.
 */
export type ImageSource = string | URL | Blob | OpfsFile | RandomAccess;

const WEB = /^https?:\/\//i;

/** Whether a text is a URL; else it is a path. */
export function isWebAddress(source: string): boolean {
  return WEB.test(source);
}

/**
 * @throws MultifdError ERR_IO for a file; what openUrl throws for a URL; ERR_OPTION for anything
 *   else.
 */
export async function openSource(
  source: ImageSource,
  options: UrlOptions = {},
): Promise<RandomAccess> {
  if (typeof source === 'string') {
    if (!isWebAddress(source)) return openFile(givenPath('an image', source));
    if (!URL.canParse(source)) throw new MultifdError('ERR_URI', `${inWords(source)} is no URL`);
    return openUrl(new URL(source), options);
  }
  if (source instanceof URL) {
    if (isWebAddress(source.href)) return openUrl(source, options);
    throw new MultifdError(
      'ERR_URI',
      `an image can't be read from ${source.protocol}: give a path, or an http: or https: URL`,
    );
  }
  if (isFileHandle(source)) return blobAccess(await fileOf(source));
  return source instanceof Blob ? blobAccess(source) : callersAccess(source);
}

function isFileHandle(source: Exclude<ImageSource, string | URL>): source is OpfsFile {
  return typeof (source as Partial<OpfsFile> | null | undefined)?.getFile === 'function';
}

/** @throws MultifdError ERR_IO. */
async function fileOf(handle: OpfsFile): Promise<Blob> {
  try {
    return await handle.getFile();
  } catch (cause) {
    const why = (cause as Partial<Error> | null | undefined)?.message;
    throw new MultifdError('ERR_IO', `cannot open ${handle.name}: ${why}`, { cause });
  }
}

/**
 * Access of the caller's own: what it does wrong is seen here. Closed when the outcome stands, it
 * changes nothing by failing at that.
 */
function callersAccess(access: RandomAccess): RandomAccess {
  givenMethods(
    'an image',
    access,
    ['read', 'close'],
    'a path, a URL, a Blob, a FileSystemFileHandle, or { name, size, read, close }',
  );
  const { fd, sizeOnDisk, verify } = access;
  const name = typeof access.name === 'string' ? access.name : 'the image';
  return {
    name,
    size: integer(`the size of ${name}`, access.size, 0, Number.MAX_SAFE_INTEGER),
    ...(fd !== undefined && { fd: integer(`the fd of ${name}`, fd, 0, 2 ** 31 - 1) }),
    ...(sizeOnDisk !== undefined && { sizeOnDisk: () => sizeOnDisk.call(access) }),
    ...(verify !== undefined && { verify: async () => verify.call(access) }),
    async read(offset, into) {
      let count: number;
      try {
        count = await access.read(offset, into);
      } catch (thrown) {
        throw MultifdError.from(thrown, 'ERR_IO', { offset });
      }
      return integer(`what read() of ${name} gave`, count, 0, into.length);
    },
    close: () => afterwards(`close() of ${name}`, () => access.close()),
  };
}

/** Random access to a Blob; a File of a browser's picker is one too. */
export function blobAccess(blob: Blob): RandomAccess {
  const name = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'the Blob';
  // A Blob of Bun's is read from its file at each read, and has that file's time of now.
  const opened = lastModified(blob);
  return {
    name,
    size: blob.size,
    async read(offset, into) {
      try {
        const bytes = new Uint8Array(await blob.slice(offset, offset + into.length).arrayBuffer());
        const wanted = Math.max(0, Math.min(into.length, blob.size - offset));
        if (bytes.length < wanted) throw new Error('it has become shorter since it was given');
        into.set(bytes);
        return bytes.length;
      } catch (cause) {
        // Browsers refuse to go on with a file that has changed since it was picked.
        throw new MultifdError('ERR_IO', `cannot read ${name}: ${(cause as Error).message}`, {
          offset,
          cause,
        });
      }
    },
    async verify() {
      if (lastModified(blob) === opened) return;
      const what = `${name} has changed since it was opened`;
      throw new MultifdError('ERR_IO', `${what}; try again once nobody writes to it`);
    },
    async close() {},
  };
}

function lastModified(blob: Blob): unknown {
  return 'lastModified' in blob ? blob.lastModified : undefined;
}
