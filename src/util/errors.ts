/** What went wrong. Codes are stable. */
export type ErrorCode =
  // what the caller asked for
  /** An option's value is out of range. */
  | 'ERR_OPTION'
  /** A URI of a kind that is not known, or that does not fit the call. */
  | 'ERR_URI'
  /** The output file is there already, and overwriting was not asked for. */
  | 'ERR_EXISTS'
  /** The image holds no block of that name. */
  | 'ERR_NO_BLOCK'
  /** The image holds no device of that name. */
  | 'ERR_NO_DEVICE'
  /** Valid in QEMU's format, but not something this project handles. */
  | 'ERR_UNSUPPORTED'
  /** This runtime has no encoder or decoder for the compression asked for. */
  | 'ERR_CODEC'
  /** The program has state that can't be moved, or is being moved already. */
  | 'ERR_GUEST'
  /** The running program changes its memory as fast as it is sent. */
  | 'ERR_NOT_CONVERGED'
  /** The caller's AbortSignal fired, or he called close(). */
  | 'ERR_CANCELLED'
  // the way to the peer
  /** The peer could not be reached. */
  | 'ERR_CONNECT'
  /** The address can't be listened on. */
  | 'ERR_LISTEN'
  /** The other end wants another token. */
  | 'ERR_AUTH'
  /** TLS credentials that can't be used, or a handshake that one end refused. */
  | 'ERR_TLS'
  /** Connecting, the handshake, or no progress at all for the time-out. */
  | 'ERR_TIMEOUT'
  /** A connection ended or was reset before the migration was complete. */
  | 'ERR_PEER_CLOSED'
  /** The target reported on the return path that it failed. */
  | 'ERR_REMOTE'
  /** A local file could not be read or written. */
  | 'ERR_IO'
  // what the peer or the file said
  /** The first bytes belong to another protocol. */
  | 'ERR_MAGIC'
  /** A version of the format that is not known. */
  | 'ERR_VERSION'
  /** The peer is another VM. */
  | 'ERR_UUID'
  /** A channel id twice, or out of range. */
  | 'ERR_CHANNEL_ID'
  /** Fewer or more channels than agreed. */
  | 'ERR_CHANNEL_COUNT'
  /** A packet header's field is out of range; `field` names it. */
  | 'ERR_PACKET'
  /** The packet's compression is not the one agreed. */
  | 'ERR_COMPRESSION'
  /** A RAM block that is not known, or a name that can't be one. */
  | 'ERR_BLOCK'
  /** Block lengths that don't add up, or exceed what the sink allows. */
  | 'ERR_BLOCK_LENGTH'
  /** A page outside its block, or not on a page boundary. */
  | 'ERR_PAGE_OFFSET'
  /** A payload longer or shorter than its page count allows. */
  | 'ERR_PAYLOAD'
  /** Compressed data that is broken, or yields too much or too little. */
  | 'ERR_DECOMPRESS'
  /** The main stream is malformed. */
  | 'ERR_STREAM'
  /** The file is not a mapped-ram image, or a broken one. */
  | 'ERR_IMAGE'
  /** The folder is not a recording, or a broken one. */
  | 'ERR_RECORDING'
  // this project
  /** The engine was used against its contract, or a channel's code failed. */
  | 'ERR_ENGINE'
  /** A fault of this package. */
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
  /** What was thrown before this. */
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

/**
 * The one error class of the project: every function of the package throws it, and nothing else.
 *
 * Test `error.code`, never the message: codes are stable, messages are for people and say what was
 * wrong, where, and what to do about it. What a function of the caller's has thrown is its `cause`.
 */
export class MultifdError extends Error {
  static {
    Object.defineProperty(MultifdError.prototype, MARK, { value: true });
  }

  /**
   * `AbortError` with ERR_CANCELLED, as the platform's own errors of that kind are called; else
   * `MultifdError`.
   */
  override readonly name: 'MultifdError' | 'AbortError';
  /** What to test for. */
  readonly code: ErrorCode;
  /** multifd channel id, or `main` for the main channel. */
  readonly channel: number | 'main' | undefined;
  /** Which packet of that channel, counted from 0; the initial packet does not count. */
  readonly packet: number | undefined;
  /** Byte offset in the connection's stream, or in the file. */
  readonly offset: number | undefined;
  /** The field of the packet header or stream record that was refused, by QEMU's name. */
  readonly field: string | undefined;

  /**
   * Also one that another file of the package has made: a worker, and a codec that is loaded late,
   * has a copy of this class.
   * @internal
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a class made of this one knows its own.
    const asked: unknown = this;
    if (asked !== MultifdError) return Function.prototype[Symbol.hasInstance].call(asked, value);
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

  /** As plain data, for JSON and for other threads. */
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
