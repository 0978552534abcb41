import { MultifdError } from '../../util/errors.ts';

/** What a first answer says of the whole. */
export interface ContentRange {
  /** Bytes of this answer, at most as many as asked for; 0 if the whole is empty. */
  readonly length: number;
  /** Bytes of the whole. */
  readonly total: number;
  /** What tells whether it is still the same: the server's ETag, or the date of its last change. */
  readonly version: string;
  /** The request header that has the server refuse to answer of any other. */
  readonly condition: Readonly<Record<string, string>>;
}

export interface RangeRequest {
  /** What errors call it. */
  readonly name: string;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** The first answer; undefined if this is it. */
  readonly opened: ContentRange | undefined;
}

/**
 * Checks that an answer is the one that was asked for, and of what was opened.
 *
 * @throws MultifdError ERR_AUTH, ERR_CONNECT for a refusal; ERR_IMAGE if it has changed, or the
 *   answer is not what was asked for; ERR_UNSUPPORTED for a server that answers no ranges, or
 *   doesn't say what of.
 */
export function checkRange(
  response: Response,
  { name, offset, length, opened }: RangeRequest,
): ContentRange {
  const { status, headers } = response;
  if (status === 412) throw changed(name, offset);
  const range = headers.get('content-range');
  if (status === 416 && opened === undefined && range === 'bytes */0')
    return { length: 0, total: 0, version: '', condition: {} };
  if (status === 416 && opened !== undefined) throw changed(name, offset);
  if (status === 200) throw unsupported(name, 'it does not answer range requests');
  if (status !== 206)
    throw new MultifdError(
      status === 401 || status === 403 ? 'ERR_AUTH' : 'ERR_CONNECT',
      `cannot read ${name}: the server answered ${status} ${response.statusText}`.trimEnd(),
      { offset },
    );
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity')
    throw unsupported(name, 'it compresses its answers');
  const { version, condition } = versionOf(headers, name);
  if (range === null)
    throw unsupported(
      name,
      'it has no Content-Range that can be seen here; to another origin, its ' +
        'Access-Control-Expose-Headers has to name it, and ETag',
    );
  const [first, last, total] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(range)?.slice(1) ?? []).map(
    Number,
  );
  const fits =
    first === offset &&
    last! >= first &&
    last! < first + length &&
    last! < total! &&
    Number.isSafeInteger(total);
  if (!fits)
    throw new MultifdError(
      'ERR_IMAGE',
      `${name}: the server answered with the range ${JSON.stringify(range)}, and ${length} ` +
        'bytes were asked for',
      { offset },
    );
  if (opened !== undefined && (opened.version !== version || opened.total !== total))
    throw changed(name, offset);
  return { length: last! - first + 1, total: total!, version, condition };
}

/** A weak ETag can't be a condition, but can be compared as well as a strong one. */
function versionOf(headers: Headers, name: string): Pick<ContentRange, 'version' | 'condition'> {
  const tag = headers.get('etag');
  if (tag !== null)
    return { version: tag, condition: tag.startsWith('W/') ? {} : { 'if-match': tag } };
  const date = headers.get('last-modified');
  if (date !== null) return { version: date, condition: { 'if-unmodified-since': date } };
  throw unsupported(
    name,
    'it has neither an ETag nor a date of the last change, so the image could become another ' +
      'unseen',
  );
}

function changed(name: string, offset: number): MultifdError {
  return new MultifdError('ERR_IMAGE', `${name} has changed since it was opened`, { offset });
}

function unsupported(name: string, why: string): MultifdError {
  return new MultifdError(
    'ERR_UNSUPPORTED',
    `an image can't be read from the server of ${name}: ${why}`,
  );
}
