/** What is used of workerd beside web standards. */

/** A TransformStream for a body of known length: the response gets its Content-Length. */
declare class FixedLengthStream extends TransformStream<Uint8Array, Uint8Array> {
  constructor(length: number);
}
