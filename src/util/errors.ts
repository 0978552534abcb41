/**
 * The one error class of the project.
 *
 * Test `error.code`, never the message: codes are stable, messages are for people and say what was
 * wrong, where, and what to do about it.
 */
export type ErrorCode =
  // what the caller asked for
  | 'ERR_OPTION' //          an option's value is out of range
  | 'ERR_URI' //             a URI of a kind that is not known, or that does not fit the call
  | 'ERR_EXISTS' //          the output file is there already, and overwriting was not asked for
  | 'ERR_NO_BLOCK' //        the image holds no block of that name
  | 'ERR_NO_DEVICE' //       the image holds no device of that name
  | 'ERR_UNSUPPORTED' //     valid in QEMU's format, but not something this project handles
  | 'ERR_CODEC' //           this runtime has no encoder or decoder for the compression asked for
  | 'ERR_GUEST' //           the program has state that can't be moved, or is being moved already
  | 'ERR_NOT_CONVERGED' //   the running program changes its memory as fast as it is sent
  | 'ERR_CANCELLED' //       the caller's AbortSignal fired, or he called close()
  // the way to the peer
  | 'ERR_CONNECT' //         the peer could not be reached
  | 'ERR_LISTEN' //          the address can't be listened on
  | 'ERR_AUTH' //            the other end wants another token
  | 'ERR_TLS' //             TLS credentials that can't be used, or a handshake that one end refused
  | 'ERR_TIMEOUT' //         connecting, the handshake, or no progress at all for the time-out
  | 'ERR_PEER_CLOSED' //     a connection ended or was reset before the migration was complete
  | 'ERR_REMOTE' //          the target reported on the return path that it failed
  | 'ERR_IO' //              a local file could not be read or written
  // what the peer or the file said
  | 'ERR_MAGIC' //           the first bytes belong to another protocol
  | 'ERR_VERSION' //         a version of the format that is not known
  | 'ERR_UUID' //            the peer is another VM
  | 'ERR_CHANNEL_ID' //      a channel id twice, or out of range
  | 'ERR_CHANNEL_COUNT' //   fewer or more channels than agreed
  | 'ERR_PACKET' //          a packet header's field is out of range; `field` names it
  | 'ERR_COMPRESSION' //     the packet's compression is not the one agreed
  | 'ERR_BLOCK' //           a RAM block that is not known, or a name that can't be one
  | 'ERR_BLOCK_LENGTH' //    block lengths that don't add up, or exceed what the sink allows
  | 'ERR_PAGE_OFFSET' //     a page outside its block, or not on a page boundary
  | 'ERR_PAYLOAD' //         a payload longer or shorter than its page count allows
  | 'ERR_DECOMPRESS' //      compressed data that is broken, or yields too much or too little
  | 'ERR_STREAM' //          the main stream is malformed
  | 'ERR_IMAGE' //           the file is not a mapped-ram image, or a broken one
  | 'ERR_RECORDING' //       the folder is not a recording, or a broken one
  // this project
  | 'ERR_ENGINE' //          the engine was used against its contract, or a channel's code failed
  | 'ERR_INTERNAL';

/**
 * Where an error was seen. Every part is optional: not each error has a channel, a packet or an
 * offset.
 */
export interface ErrorPlace {
  /** multifd channel id, or `main` for the main channel. */
  channel?: number | 'main' | undefined;
  /** Which packet of that channel, counted from 0; the initial packet does not count. */
  packet?: number | undefined;
  /** Byte offset in the connection's stream, or in the file. */
  offset?: number | undefined;
  /** The field of the packet header or stream record that was refused. */
  field?: string | undefined;
  cause?: unknown;
}

/** The shape an error has while it crosses from one thread to another, and in `--json` output. */
export interface ErrorRecord {
  code: ErrorCode;
  message: string;
  channel?: number | 'main';
  packet?: number;
  offset?: number;
  field?: string;
}

/** Marks an error of this package, whichever of its files has made it. */
const MARK = Symbol.for('multifd.MultifdError');

const PLACES = ['channel', 'packet', 'offset', 'field'] as const;

export class MultifdError extends Error {
  static {
    Object.defineProperty(MultifdError.prototype, MARK, { value: true });
  }

  /**
   * `AbortError` with ERR_CANCELLED, as the platform's own errors of that kind are called; else
   * `MultifdError`.
   */
  override readonly name: 'MultifdError' | 'AbortError';
  readonly code: ErrorCode;
  readonly channel: number | 'main' | undefined;
  readonly packet: number | undefined;
  readonly offset: number | undefined;
  readonly field: string | undefined;

  /**
   * Also one that another file of the package has made: a worker, and a codec that is loaded late,
   * has a copy of this class.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && MARK in value;
  }

  /** @param message what was wrong and what to do; the place is appended to it in words. */
  constructor(code: ErrorCode, message: string, place: ErrorPlace = {}) {
    super(message + inWords(place), place.cause === undefined ? undefined : { cause: place.cause });
    this.name = code === 'ERR_CANCELLED' ? 'AbortError' : 'MultifdError';
    this.code = code;
    this.channel = place.channel;
    this.packet = place.packet;
    this.offset = place.offset;
    this.field = place.field;
  }

  /** Any thrown value as a MultifdError; one that is one already comes back as it is. */
  static from(
    thrown: unknown,
    code: ErrorCode = 'ERR_INTERNAL',
    place: ErrorPlace = {},
  ): MultifdError {
    if (thrown instanceof MultifdError) return thrown;
    return new MultifdError(code, messageOf(thrown), { ...place, cause: thrown });
  }

  /** Back from {@link toRecord}; the message has its place in words already. */
  static fromRecord(record: ErrorRecord): MultifdError {
    const error = new MultifdError(record.code, record.message);
    return Object.assign(error, record);
  }

  toRecord(): ErrorRecord {
    const record: ErrorRecord = { code: this.code, message: this.message };
    for (const place of PLACES)
      if (this[place] !== undefined) Object.assign(record, { [place]: this[place] });
    return record;
  }
}

/**
 * The error of what a caller's signal has ended: its `cause` is the signal's reason, whatever that
 * is.
 */
export function cancelledBy(
  { reason }: AbortSignal,
  message = 'the migration was cancelled here',
  place: Omit<ErrorPlace, 'cause'> = {},
): MultifdError {
  return new MultifdError('ERR_CANCELLED', message, { ...place, cause: reason });
}

/** What the error of a caller's code says: anything can be thrown, also what has no words. */
function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.message) : String(thrown);
  } catch {
    return 'an object of a strange kind was thrown';
  }
}

function inWords({ channel, packet, offset, field }: ErrorPlace): string {
  const parts: string[] = [];
  if (channel !== undefined) parts.push(channel === 'main' ? 'main channel' : `channel ${channel}`);
  if (packet !== undefined) parts.push(`packet ${packet}`);
  if (field !== undefined) parts.push(`field ${field}`);
  if (offset !== undefined) parts.push(`offset ${offset}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** What a file's content can be wrong by; all other errors of files name them already. */
const OF_CONTENT: readonly ErrorCode[] = [
  'ERR_MAGIC',
  'ERR_VERSION',
  'ERR_STREAM',
  'ERR_BLOCK',
  'ERR_BLOCK_LENGTH',
  'ERR_PAGE_OFFSET',
  'ERR_IMAGE',
  'ERR_UNSUPPORTED',
];

/** The same error, or if it is one of a file's content, one that names the file. */
export function inFile(thrown: unknown, name: string): unknown {
  if (!(thrown instanceof MultifdError) || !OF_CONTENT.includes(thrown.code)) return thrown;
  if (thrown.message.startsWith(name)) return thrown;
  const message = `${name}: ${thrown.message}`;
  const named = MultifdError.fromRecord({ ...thrown.toRecord(), message });
  return thrown.cause === undefined ? named : Object.assign(named, { cause: thrown.cause });
}
