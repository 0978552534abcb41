import type { Connection } from './connection.ts';

/**
 * Carries what comes on either connection to the other, without looking at it: an end becomes an
 * end, and what breaks one breaks both.
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
 * What has ended before it broke has said all it had to say: that is on its way to `to` still,
 * which is flushed, then closed.
 */
async function closeAfterEof(from: Connection, to: Connection): Promise<void> {
  if (from.ended) await to.finish();
  else to.destroy();
}

/**
 * Carries what comes on `from` to `to`, one way. What breaks or closes `from` closes `to`, whose
 * reader would take it for an end.
 * @returns resolves when `from` has ended or either has broken; never rejects. Both stay as they
 *   are but for that.
 */
export async function pipe(
  from: Connection,
  to: Connection,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  const carry = async (): Promise<void> => {
    for (;;) {
      const chunk = await from.read();
      if (chunk === undefined) break;
      await to.write([chunk], onBytes);
    }
    if (from.ended) to.end();
    else to.destroy();
  };
  await Promise.race([carry().catch(() => {}), broken(to)]);
}

function broken(connection: Connection): Promise<void> {
  return new Promise((resolve) => void connection.onBroken(() => resolve()));
}
