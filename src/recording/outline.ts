import { MultifdError } from '../util/errors.ts';
import { ByteReader, Command, type MainStreamHandler, parseMainStream } from '../stream/index.ts';
import type { RecordedFile } from './recording.ts';

/** What a replay has to know of a main stream beforehand. */
export interface Outline {
  /** The source asked for answers, and waits for the one that says all is well. */
  readonly returnPath: boolean;
  /** It may go over to postcopy: its target may ask for pages. */
  readonly postcopy: boolean;
  /** The stream has its end. */
  readonly complete: boolean;
}

/** Thrown and caught in this file. */
class Enough extends Error {}

/**
 * @param whole read on behind the block list, to see whether the stream is complete; if not, it
 *   is taken for one.
 * @throws MultifdError what parseMainStream throws for a stream that is not right up to its block
 *   list; ERR_IO.
 */
export async function readOutline(main: RecordedFile, whole: boolean): Promise<Outline> {
  let returnPath = false;
  let postcopy = false;
  let begun = false;
  const handler: MainStreamHandler = {
    configuration() {},
    other() {},
    command({ command }) {
      if (command === Command.OPEN_RETURN_PATH) returnPath = true;
      if (command === Command.POSTCOPY_ADVISE) postcopy = true;
    },
    blocks() {
      begun = true;
      if (!whole) throw new Enough();
    },
    resize() {},
    zeroPage() {},
    page() {},
    flush() {},
    endOfSection() {},
    discard() {},
    packaged() {},
    tail() {},
  };
  try {
    const limits = { maxBytes: Number.MAX_SAFE_INTEGER, maxTail: Number.MAX_SAFE_INTEGER };
    await parseMainStream(new ByteReader(main.source()), handler, limits);
  } catch (thrown) {
    if (thrown instanceof Enough) return { returnPath, postcopy, complete: true };
    const error = MultifdError.from(thrown);
    // One that was broken off can be replayed as well.
    if (!begun || error.code === 'ERR_IO' || error.code === 'ERR_RECORDING') throw error;
    return { returnPath, postcopy, complete: false };
  }
  return { returnPath, postcopy, complete: true };
}
