import { openFile } from '#host/files';
import { MultifdError } from '../errors.ts';
import { blobAccess } from './blob-access.ts';
import { openUrl, type UrlOptions } from './http-access.ts';
import type { RandomAccess } from './random-access.ts';

/** Where an image is: a path, an `http(s)://` URL whose server answers range requests, a Blob or File, or random access of your own, which is closed in the end. */
export type ImageSource = string | URL | Blob | RandomAccess;

const WEB = /^https?:\/\//i;

/** Whether a text is a URL; else it is a path. */
export function isWebAddress(source: string): boolean {
  return WEB.test(source);
}

/** @throws MultifdError ERR_IO for a file; what openUrl throws for a URL; ERR_OPTION for anything else. */
export async function openSource(source: ImageSource, options: UrlOptions = {}): Promise<RandomAccess> {
  if (typeof source === 'string') {
    return isWebAddress(source) ? openUrl(new URL(source), options) : openFile(source);
  }
  if (source instanceof URL) {
    if (isWebAddress(source.href)) return openUrl(source, options);
    throw new MultifdError('ERR_URI', `an image can't be read from ${source.protocol}: give a path, or an http: or https: URL`);
  }
  return source instanceof Blob ? blobAccess(source) : source;
}
