import type { Connection } from './connection.ts';

/**
 * Copies the bytes of either connection to the other, unparsed: an end becomes an end, and what
 * breaks one breaks both.
 * @returns resolves when both ways have ended, or either has broken; never rejects. Both are
 *   closed then.
 */
export async function pipeBoth(
  a: Connection,
  b: Connection,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  await Promise.race([
    Promise.all([pipe(a, b, onBytes), pipe(b, a, onBytes)]),
    broken(a),
    broken(b),
  ]);
  await Promise.all([closeAfterEof(a, b), closeAfterEof(b, a)]);
}

/**
 * A `from` that ended before it broke has sent everything. The rest of that is still on its way to
 * `to`, so: flush, then close.
 */
async function closeAfterEof(from: Connection, to: Connection): Promise<void> {
  if (from.ended) await to.finish();
  else to.destroy();
}

/**
 * Copies the bytes of `from` to `to`, one way. What breaks or closes `from` destroys `to`: its
 * reader would take a mere end for the end of the data.
 * @returns resolves when `from` has ended or either has broken; never rejects. Both stay as they
 *   are but for that.
 */
export async function pipe(
  from: Connection,
  to: Connection,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  const copy = async (): Promise<void> => {
    for (;;) {
      const chunk = await from.read();
      if (chunk === undefined) break;
      await to.write([chunk], onBytes);
    }
    if (from.ended) to.end();
    else to.destroy();
  };
  await Promise.race([copy().catch(() => {}), broken(to)]);
}

function broken(connection: Connection): Promise<void> {
  return new Promise((resolve) => void connection.onBroken(() => resolve()));
}
