import { answering } from '../../util/checks.ts';
import { givenOptions } from '../../util/options.ts';
import { type Closable, Closing } from '../../util/closing.ts';
import { MultifdError } from '../../util/errors.ts';
import { Progress } from '../../util/progress.ts';
import { formatUri } from '../../transport/schemes.ts';
import { type MigrationStatistics, StatisticsCollector } from '../statistics.ts';
import { type FileEndpoint, parseEndpoint, type SourceEndpoint } from '../../transport/endpoint.ts';
import { Connections } from './connections.ts';
import { IncomingSession } from './session.ts';
import {
  type CheckedIncoming,
  checkIncoming,
  INCOMING_NAMES,
  type IncomingOptions,
  openSink,
} from './options.ts';

export type { IncomingOptions } from './options.ts';

/**
 * An incoming end that is ready for its source. To close it cancels it, unless it has ended, or its
 * `start` has been called: then that is waited for.
 */
export interface IncomingMigration extends Closable {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /**
   * Resolves once everything is in place.
   * Rejects with a MultifdError: the first thing that went wrong, at either end; ERR_CANCELLED
   * after the signal, or `close()`.
   */
  readonly completed: Promise<MigrationStatistics>;
  /**
   * What `onProgress` is called with, to be iterated: each time the latest snapshot, and at last
   * the one at the end. It ends with the migration, and does not throw: `completed` says how. To
   * break off the iteration ends nothing else.
   */
  readonly progress: AsyncIterable<MigrationStatistics>;
}

/**
 * The incoming end of a migration: listens for a source, or loads a mapped-ram image, and fills
 * memories or writes an image.
 * @returns once it listens, or has opened the image; what comes of it is `completed` of that.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_LISTEN, ERR_EXISTS, ERR_IO, ERR_TLS; for a `file:`
 *   URI what `openImage` throws; with `connect` ERR_CONNECT, ERR_AUTH and ERR_TIMEOUT. What goes
 *   wrong later rejects `completed`.
 */
export function receive(options: IncomingOptions): Promise<IncomingMigration> {
  return answering(() => receiveChecked(givenOptions('receive', options, INCOMING_NAMES)));
}

async function receiveChecked(options: IncomingOptions): Promise<IncomingMigration> {
  const { uri, inbox, token, origins } = options;
  const endpoint = parseEndpoint({ uri, inbox, token, origins }) as SourceEndpoint | FileEndpoint;
  const given = checkIncoming(options);
  const progress = new Progress<MigrationStatistics>();
  const closing = new Closing(given.signal);
  const onProgress = progress.beside(given.onProgress);
  const checked = { ...given, signal: closing.signal, onProgress };
  const statistics = new StatisticsCollector(checked.pageSize);
  try {
    const { at, work } =
      endpoint.kind === 'file'
        ? await load(endpoint, options, checked, statistics)
        : await listen(endpoint, options, checked, statistics);
    const completed = report(work, checked, statistics).finally(() => {
      closing.release();
      progress.end();
    });
    completed.catch(() => {}); // a caller that awaits it gets the error
    return { uri: at, completed, progress, ...closing.closable(completed) };
  } catch (error) {
    closing.release();
    throw error;
  }
}

/** Where it is, and what ends once everything is in place. */
interface Work {
  at: string;
  work: Promise<void>;
}

async function load(
  endpoint: FileEndpoint,
  options: IncomingOptions,
  checked: CheckedIncoming,
  statistics: StatisticsCollector,
): Promise<Work> {
  if (options.tls !== undefined)
    throw new MultifdError('ERR_OPTION', 'TLS is for connections: leave it out for file:');
  if (options.connect)
    throw new MultifdError(
      'ERR_OPTION',
      'a file is no source that listens: leave connect out for file:',
    );
  const { loadImage } = await import('../local/copy.ts');
  const { path, offset } = endpoint;
  return { at: formatUri(endpoint), work: loadImage(path, offset, options, checked, statistics) };
}

async function listen(
  endpoint: SourceEndpoint,
  options: IncomingOptions,
  checked: CheckedIncoming,
  statistics: StatisticsCollector,
): Promise<Work> {
  const { channels, uuid, timeout, maxConnections, onRejected, signal } = checked;
  const { token, origins, tls, connect = false } = options;
  const dials = connect ? 1 + channels : undefined;
  const who = { token, origins, tls, maxConnections, onRejected, dials, timeout, signal };
  const onFirst = (): void => statistics.start();
  const sink = await openSink(options);
  let connections: Connections;
  try {
    connections = await Connections.open(endpoint, who, { channels, uuid, timeout, onFirst });
  } catch (error) {
    await sink.discard();
    throw error;
  }
  const session = new IncomingSession(connections, sink, checked, statistics);
  return { at: connections.uri, work: session.run() };
}

async function report(
  work: Promise<void>,
  { onProgress }: CheckedIncoming,
  statistics: StatisticsCollector,
): Promise<MigrationStatistics> {
  try {
    await work;
  } catch (thrown) {
    throw MultifdError.from(thrown);
  } finally {
    statistics.end();
    onProgress(statistics.snapshot());
  }
  return statistics.snapshot();
}
