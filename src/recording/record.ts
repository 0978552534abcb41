import { answering, givenObject } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { initialChecker, migrationClassifier } from '../migration/incoming/connections.ts';
import {
  type IncomingEndpoint,
  openIncomingEndpoint,
  type IncomingEndpointOptions,
} from '../transport/endpoint.ts';
import { parseUri } from '../transport/uri.ts';
import { MAX_CHANNELS } from './names.ts';
import { OutputFolder } from './output-folder.ts';
import { checkRecord, type RecordOptions } from './record-options.ts';
import { RecordSession } from './record-session.ts';
import type { RecordingStatistics } from './statistics.ts';

/** Those that have not said yet what they are, at a time. */
const MAX_CONNECTIONS = 512;

/** A recorder that is ready for its source. */
export interface IncomingRecording {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /**
   * Resolves once the recording has its name.
   * Rejects with a MultifdError: the first thing that went wrong; ERR_CANCELLED after the signal.
   */
  readonly completed: Promise<RecordingStatistics>;
}

/**
 * Keeps a migration as it comes: a target that stores every connection's bytes, and answers what a
 * source needs to go through with it. The source hears that all is well when the recording is on
 * the disk and has its name.
 *
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_LISTEN, ERR_EXISTS, ERR_IO.
 */
export function record(options: RecordOptions): Promise<IncomingRecording> {
  return answering(() => open(givenObject('record', options)));
}

async function open(options: RecordOptions): Promise<IncomingRecording> {
  const uri = parseUri(options.uri);
  if (uri.kind === 'file')
    throw new MultifdError(
      'ERR_URI',
      `${String(options.uri)}: only connections can be recorded; give tcp:HOST:PORT, ` +
        'unix:PATH or ws://HOST:PORT/PATH',
    );
  const checked = checkRecord(options);
  const checkInitial = await initialChecker({
    uuid: undefined,
    channels: checked.channels ?? MAX_CHANNELS,
  });
  const folder = await OutputFolder.create(options.path, checked.force);
  const session = new RecordSession(folder, checkInitial, checked);
  const { timeout, onRejected, token, origins, signal } = checked;
  const way: IncomingEndpointOptions = {
    uri: options.uri,
    token,
    origins,
    tls: undefined,
    dials: undefined,
    timeout,
    maxConnections: MAX_CONNECTIONS,
    onRejected,
    signal,
  };
  const classifier = migrationClassifier(way, (arrival) => session.take(arrival));
  let connections: IncomingEndpoint;
  try {
    connections = await openIncomingEndpoint(way, (connection) => classifier.take(connection));
  } catch (error) {
    await folder.discard();
    throw error;
  }
  const completed = session.run(() => {
    connections.close();
    classifier.close();
  });
  completed.catch(() => {}); // whoever looks at it is told
  return { uri: connections.uri, completed };
}
