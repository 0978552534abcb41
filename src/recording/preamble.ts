import { ByteReader, Command, type Configuration, type MainStreamHandler, parseMainStream } from '../stream/index.ts';
import type { RecordedFile } from './recording.ts';

/** What a main stream says before its first section. */
export interface Preamble {
  readonly configuration: Configuration;
  /** The source asked for answers, and waits for the one that says all is well. */
  readonly returnPath: boolean;
}

/** Thrown and caught in this file. */
class Enough extends Error {}

/**
 * Reads no further than the block list.
 * @throws MultifdError what parseMainStream throws for a stream that is not right up to there; ERR_IO.
 */
export async function readPreamble(main: RecordedFile): Promise<Preamble> {
  let configuration: Configuration | undefined;
  let returnPath = false;
  const handler: MainStreamHandler = {
    configuration(read) {
      configuration = read;
    },
    command({ command }) {
      if (command === Command.OPEN_RETURN_PATH) returnPath = true;
    },
    blocks() {
      throw new Enough();
    },
    zeroPage() {},
    page() {},
    flush() {},
    endOfSection() {},
    tail() {},
  };
  try {
    await parseMainStream(new ByteReader(main.source()), handler, { maxBytes: Number.MAX_SAFE_INTEGER });
  } catch (thrown) {
    if (!(thrown instanceof Enough)) throw thrown;
  }
  // Without a configuration and blocks the parser would have thrown.
  return { configuration: configuration!, returnPath };
}
