import type { RandomAccess } from 'multifd/image';

const PIECE = 512 * 1024;

/** Bytes from `start` to, not with, `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Answers GET and HEAD for an image, by HTTP's rules for ranges and conditions: 200, 206, 304, 412
 * or 416. The whole image goes out with its holes as zeros; who asks for the header and the bitmaps
 * first needs no hole.
 */
export function serveImage(request: Request, image: RandomAccess, etag: string): Response {
  const headers = new Headers({
    etag,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    'cache-control': 'no-cache',
  });
  const tags = (name: string): string[] | undefined =>
    request.headers
      .get(name)
      ?.split(',')
      .map((tag) => tag.trim());
  const [wanted, known] = [tags('if-match'), tags('if-none-match')];
  if (wanted !== undefined && !wanted.includes(etag) && !wanted.includes('*'))
    return new Response(null, { status: 412, headers });
  if (
    known !== undefined &&
    (known.includes(etag) || known.includes(`W/${etag}`) || known.includes('*'))
  )
    return new Response(null, { status: 304, headers });
  const whole: Range = { start: 0, end: image.size };
  const stale = (request.headers.get('if-range') ?? etag) !== etag;
  const range = stale ? undefined : parseRange(request.headers.get('range'), image.size);
  if (range === 'unsatisfiable') {
    headers.set('content-range', `bytes */${image.size}`);
    return new Response(null, { status: 416, headers });
  }
  if (range !== undefined)
    headers.set('content-range', `bytes ${range.start}-${range.end - 1}/${image.size}`);
  const { start, end } = range ?? whole;
  const status = range === undefined ? 200 : 206;
  if (request.method === 'HEAD') {
    headers.set('content-length', String(end - start));
    return new Response(null, { status, headers });
  }
  return new Response(bytesOf(image, start, end), { status, headers });
}

/** One range; undefined for none, and for what is to be ignored, such as several. */
function parseRange(header: string | null, size: number): Range | 'unsatisfiable' | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  return start < end ? { start, end } : 'unsatisfiable';
}

/** The bytes as a body of known length, a piece of them at a time. */
function bytesOf(image: RandomAccess, start: number, end: number): ReadableStream<Uint8Array> {
  const { readable, writable } = new FixedLengthStream(end - start);
  void copy(image, start, end, writable);
  return readable;
}

async function copy(
  image: RandomAccess,
  start: number,
  end: number,
  body: WritableStream<Uint8Array>,
): Promise<void> {
  const writer = body.getWriter();
  try {
    for (let at = start; at < end; ) {
      const piece = new Uint8Array(Math.min(PIECE, end - at));
      const count = await image.read(at, piece);
      await writer.write(piece.subarray(0, count));
      at += count;
    }
    await writer.close();
  } catch (error) {
    // The client has gone, or the image: either way its answer ends here, short of the length that
    // it announced.
    await writer.abort(error).catch(() => {});
  }
}
