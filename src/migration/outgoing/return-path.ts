import { inTime, LATE } from '../../util/deadline.ts';
import { MultifdError } from '../../util/errors.ts';
import {
  ByteReader,
  type PostcopyOffer,
  readReturnMessage,
  type ReturnMessage,
} from '../../stream/index.ts';
import { ConnectionInput } from '../../transport/connection-io.ts';
import type { Connection } from '../../transport/connection.ts';

/** How long a target that has broken off a channel may take to say why. */
const VERDICT_MS = 1_000;

/** Who hears what a target says in postcopy. */
export interface PostcopyListener extends PostcopyOffer {
  /**
   * The target's program waits for pages. The next message is read once it resolves; what it throws
   * is the verdict.
   */
  requested(request: Extract<ReturnMessage, { type: 'request-pages' }>): Promise<void>;
  /** Any PING was answered. */
  answered(value: number): void;
  /** Which pages of a block the target has. */
  received(id: string, bitmap: Uint8Array): void;
  /** The target goes on. */
  resumed(): void;
}

/** What the target says, read all through the migration. */
export class ReturnPath {
  /** Settles once: undefined when the target has everything, else why not. */
  readonly verdict: Promise<MultifdError | undefined>;
  /**
   * Resolves when the target has said that the source may switch over; rejects if it ends without.
   */
  readonly acknowledged: Promise<void>;
  /**
   * How many messages came: any of them is a sign of life, which counts once everything has been
   * sent.
   */
  messages = 0;
  readonly #connection: Connection;
  readonly #input: ConnectionInput;
  readonly #postcopy: PostcopyListener | undefined;
  #acknowledge!: () => void;
  /** PONGs that are waited for, by value. */
  readonly #pongs = new Map<number, () => void>();

  /** @param postcopy undefined: it is not offered. */
  constructor(connection: Connection, postcopy?: PostcopyListener) {
    this.#connection = connection;
    this.#postcopy = postcopy;
    let refuse!: (error: MultifdError) => void;
    this.acknowledged = new Promise((resolve, reject) => {
      this.#acknowledge = resolve;
      refuse = reject;
    });
    this.acknowledged.catch(() => {}); // there need not be a wait on it
    this.#input = new ConnectionInput(connection, 'main', new Uint8Array(0), 0);
    this.verdict = this.#read().catch((thrown: unknown) =>
      MultifdError.from(thrown, 'ERR_STREAM', { channel: 'main' }),
    );
    void this.verdict.then((error) =>
      refuse(
        error ??
          new MultifdError('ERR_STREAM', 'the target never said that the source may switch over', {
            channel: 'main',
          }),
      ),
    );
  }

  /**
   * Resolves when the target has answered the PING of that value; a migration that fails before is
   * heard of elsewhere.
   */
  pong(value: number): Promise<void> {
    return new Promise((resolve) => this.#pongs.set(value, resolve));
  }

  /**
   * The target's own account of a failure, when it comes soon; else `seen`, what was seen of it
   * from here.
   */
  async explain(seen: MultifdError): Promise<MultifdError> {
    if (seen.code !== 'ERR_PEER_CLOSED' && seen.code !== 'ERR_TLS') return seen;
    const verdict = await inTime(this.verdict, VERDICT_MS);
    return verdict !== LATE && (verdict?.code === 'ERR_REMOTE' || verdict?.code === 'ERR_TLS')
      ? verdict
      : seen;
  }

  /** Whether the target says soon that it has everything. */
  async hasEverything(): Promise<boolean> {
    return (await inTime(this.verdict, VERDICT_MS)) === undefined;
  }

  async #read(): Promise<MultifdError | undefined> {
    const reader = new ByteReader(this.#input);
    for (;;) {
      const message = await readReturnMessage(reader, this.#postcopy);
      if (message === undefined) {
        return this.#closed(reader.position);
      }
      this.messages++;
      if (message.type !== 'shut') {
        await this.#hear(message);
        continue;
      }
      if (message.status === 0) return undefined;
      return new MultifdError(
        'ERR_REMOTE',
        `the target failed (status ${message.status}): its own output, or the error of its ` +
          '`completed`, says why',
        { channel: 'main', offset: reader.position },
      );
    }
  }

  /** Resolves, or returns, when the next message may be read. */
  #hear(message: ReturnMessage): void | Promise<void> {
    switch (message.type) {
      case 'switchover-ack':
        return this.#acknowledge();
      case 'pong':
        this.#pongs.get(message.value)?.();
        return this.#postcopy?.answered(message.value);
      case 'request-pages':
        return this.#postcopy?.requested(message);
      case 'received-bitmap':
        return this.#postcopy?.received(message.block, message.bitmap);
      case 'resume-ack':
        return this.#postcopy?.resumed();
    }
  }

  #closed(offset: number): MultifdError {
    const { broken, secure } = this.#connection;
    if (broken instanceof MultifdError)
      return new MultifdError(broken.code, broken.message, {
        channel: 'main',
        offset,
        cause: broken,
      });
    // With TLS 1.3 a source learns only after the handshake what the target thinks of its
    // certificate, by an alert or by silence.
    const hint =
      secure && this.messages === 0
        ? '; it may have refused our certificate: its own output says so then'
        : '';
    return new MultifdError(
      'ERR_PEER_CLOSED',
      `the target closed the connection before it had everything${hint}`,
      { channel: 'main', offset },
    );
  }
}

/**
 * The error of a target that has been sent everything, gives signs of life, and does not come to an
 * end.
 * @param commitTimeout milliseconds.
 */
export function notInTime(commitTimeout: number): MultifdError {
  return new MultifdError(
    'ERR_TIMEOUT',
    `the target has everything, and has not said within ${commitTimeout / 1000} s that it is ` +
      'in place: a longer commit time-out waits longer',
  );
}
