import { inTime } from '../../util/deadline.ts';
import { MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';
import { ByteReader } from '../../stream/index.ts';
import { ConnectionInput } from '../../transport/connection-io.ts';

/**
 * So long after the end of the main channel's pages the first of the urgent ones may be on its way,
 * in milliseconds.
 */
const LATE_MS = 1_000;

/** Postcopy's channel for pages that are asked for: read once the device sections are here too. */
export class UrgentChannel {
  /** Bytes that have come on it. */
  readonly #onBytes: (bytes: number) => void;
  readonly #fail: (error: MultifdError) => void;
  #connection: IdentifiedConnection | undefined;
  #read: ((reader: ByteReader) => Promise<void>) | undefined;
  #begin = (): void => {};
  readonly #begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  #end: Promise<void> | undefined;

  constructor(onBytes: (bytes: number) => void, fail: (error: MultifdError) => void) {
    this.#onBytes = onBytes;
    this.#fail = fail;
  }

  /** Whether pages come there, or came. */
  get inUse(): boolean {
    return this.#end !== undefined;
  }

  /** It has come. */
  take(connection: IdentifiedConnection): void {
    this.#connection = connection;
    this.#start();
  }

  /** The device sections have come. @param read reads it to its end. */
  start(read: (reader: ByteReader) => Promise<void>): void {
    this.#read = read;
    this.#start();
  }

  /** Resolves at its end. @param expected something has to come there. */
  async ended(expected: boolean): Promise<void> {
    if (expected) await inTime(this.#begun, LATE_MS);
    await this.#end;
  }

  #start(): void {
    if (this.#connection === undefined || this.#read === undefined) return;
    trace('target', 'a channel for urgent pages');
    const { connection, rest } = this.#connection;
    const input = new ConnectionInput(connection, 'main', rest, 0, this.#onBytes);
    this.#begin();
    this.#end = this.#read(new ByteReader(input)).catch((thrown: unknown) => {
      const error = MultifdError.from(thrown);
      // A source that is lost sends again what was on its way.
      if (error.code !== 'ERR_PEER_CLOSED') this.#fail(error);
    });
  }
}
