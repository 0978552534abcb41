import { givenOptions, type OptionNames } from '../util/options.ts';
import { answering, givenPath, givenSignal, integer } from '../util/checks.ts';
import { initialChecker, migrationClassifier } from '../migration/incoming/connections.ts';
import {
  type IncomingEndpoint,
  openIncomingEndpoint,
  type IncomingEndpointOptions,
} from '../transport/endpoint.ts';
import { type Closable, Closing } from '../util/closing.ts';
import { Progress } from '../util/progress.ts';
import { type ConnectionUri, parseConnectionUri } from '../transport/schemes.ts';
import { MAX_CHANNELS } from './recording.ts';
import { OutputFolder } from './output-folder.ts';
import { RecordSession } from './record-session.ts';
import type { RecordingStatistics } from './report.ts';
import { observer } from '../util/callbacks.ts';
import { checkPageSize } from '../migration/options.ts';
import { checkAdmission, checkToken } from '../transport/adapters/admission.ts';

/** Those that have not said yet what they are, at a time. */
const MAX_CONNECTIONS = 512;

/**
 * A recorder that is ready for its source. To close it cancels it, unless it has ended, or
 * everything has come: then that is waited for.
 */
export interface IncomingRecording extends Closable {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /**
   * Resolves once the recording has its name.
   * Rejects with a MultifdError: the first thing that went wrong; ERR_CANCELLED after the signal,
   * or `close()`.
   */
  readonly completed: Promise<RecordingStatistics>;
  /**
   * What `onProgress` is called with, to be iterated: each time the latest snapshot, and at last
   * the one at the end. It ends with the recording, and does not throw: `completed` says how. To
   * break off the iteration ends nothing else.
   */
  readonly progress: AsyncIterable<RecordingStatistics>;
}

/**
 * Keeps a migration as it comes: a target that stores every connection's bytes, and answers what a
 * source needs to go through with it. The source hears that all is well when the recording is on
 * the disk and has its name. A recording is a folder: a file per connection with its raw bytes, and
 * when they came beside it.
 *
 * @returns once it listens; what comes of it is `completed` of that.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_LISTEN, ERR_EXISTS, ERR_IO.
 */
export function record(options: RecordOptions): Promise<IncomingRecording> {
  return answering(() => open(givenOptions('record', options, RECORD_NAMES)));
}

const ofFile = (uri: string): string =>
  `${uri}: only connections can be recorded; give tcp:HOST:PORT, ` +
  'unix:PATH or ws://HOST:PORT/PATH';

async function open(options: RecordOptions): Promise<IncomingRecording> {
  const uri = parseConnectionUri(options.uri, ofFile);
  const given = checkRecord(options);
  const progress = new Progress<RecordingStatistics>();
  const closing = new Closing(given.signal);
  const onProgress = progress.beside(given.onProgress);
  try {
    const at = await begin(uri, options.path, { ...given, signal: closing.signal, onProgress });
    const completed = at.completed.finally(() => {
      closing.release();
      progress.end();
    });
    completed.catch(() => {}); // its caller is told
    return { uri: at.uri, completed, progress, ...closing.closable(completed) };
  } catch (error) {
    closing.release();
    throw error;
  }
}

/** @returns where it listens, and what comes of it. */
async function begin(
  uri: ConnectionUri,
  path: string,
  checked: ReturnType<typeof checkRecord>,
): Promise<Pick<IncomingRecording, 'uri' | 'completed'>> {
  const checkInitial = await initialChecker({
    uuid: undefined,
    channels: checked.channels ?? MAX_CHANNELS,
  });
  const folder = await OutputFolder.create(path, checked.force);
  const session = new RecordSession(folder, checkInitial, checked);
  const { timeout, onRejected, token, origins, signal } = checked;
  const endpointOptions: IncomingEndpointOptions = {
    token,
    origins,
    tls: undefined,
    dials: undefined,
    timeout,
    maxConnections: MAX_CONNECTIONS,
    onRejected,
    signal,
  };
  const classifier = migrationClassifier(endpointOptions, (arrival) => session.take(arrival));
  let connections: IncomingEndpoint;
  try {
    connections = await openIncomingEndpoint({ kind: 'uri', uri }, endpointOptions, (connection) =>
      classifier.take(connection),
    );
  } catch (error) {
    await folder.discard();
    throw error;
  }
  const completed = session.run(() => {
    connections.close();
    classifier.close();
  });
  return { uri: connections.uri, completed };
}

/** What recording and replaying have in common. */
export interface RecordingRunOptions {
  /**
   * `tcp:HOST:PORT` (port 0 for recording: any free one), `unix:PATH`, `ws://HOST:PORT/PATH` or
   * `http://HOST:PORT/PATH`.
   */
  uri: string | URL;
  /** The recording's folder. */
  path: string;
  /** Milliseconds for connecting, and for no progress at all (30000). */
  timeout?: number;
  /** Ends it with ERR_CANCELLED, whose `cause` is the signal's reason. */
  signal?: AbortSignal;
  /** For ws: and http: URIs, what a client has to show (none). */
  token?: string;
  /**
   * Called about five times a second from the first connection on, and once at the end. An error of
   * it is a warning.
   */
  onProgress?: (statistics: RecordingStatistics) => void;
}

/** The names of {@link RecordingRunOptions}. */
export const RUN_NAMES = {
  uri: true,
  path: true,
  timeout: true,
  signal: true,
  token: true,
  onProgress: true,
} as const satisfies OptionNames<RecordingRunOptions>;

/** What `record` takes. */
export interface RecordOptions extends RecordingRunOptions {
  /** How many multifd channels there have to be, 0 to 256; default: as many as come. */
  channels?: number;
  /**
   * The source's bytes per page (4096, or what its configuration says). Only pages that come on the
   * main channel depend on it.
   */
  pageSize?: number;
  /** Replace a recording that is there (false). */
  force?: boolean;
  /** Keep what came of a migration that fails or is cancelled (false). */
  keep?: boolean;
  /**
   * Of which origins a page may come to a ws: or http: URI that we listen at, as browsers send
   * them, such as `https://example.com`, or `*` for any. Without a token none but those may come
   * (none); with one any, unless they are given too.
   */
  origins?: readonly string[];
  /** Told of connections that were dropped because they were no migration's. */
  onRejected?: (why: string) => void;
}

const RECORD_NAMES = {
  ...RUN_NAMES,
  channels: true,
  pageSize: true,
  force: true,
  keep: true,
  origins: true,
  onRejected: true,
} as const satisfies OptionNames<RecordOptions>;

/** The same with every default in place. Throws MultifdError ERR_OPTION. */
export function checkRun({ path, timeout, signal, token, onProgress }: RecordingRunOptions): {
  timeout: number;
  signal: AbortSignal;
  token: string | undefined;
  onProgress: (statistics: RecordingStatistics) => void;
} {
  givenPath('path', path);
  checkToken(token);
  return {
    timeout: integer('timeout', timeout ?? 30_000, 1, 2 ** 31 - 1),
    signal: givenSignal(signal) ?? new AbortController().signal,
    token,
    onProgress: observer('onProgress', onProgress),
  };
}

/** Throws MultifdError ERR_OPTION. */
export function checkRecord(options: RecordOptions) {
  const { channels, pageSize, force = false, keep = false, origins, onRejected } = options;
  checkAdmission({ token: options.token, origins });
  if (channels !== undefined) integer('channels', channels, 0, MAX_CHANNELS);
  if (pageSize !== undefined) checkPageSize(pageSize);
  const told = observer('onRejected', onRejected);
  return { ...checkRun(options), channels, pageSize, force, keep, origins, onRejected: told };
}
