import { answering, givenObject } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { formatUri, parseUri } from '../../transport/uri.ts';
import { type MigrationStatistics, StatisticsCollector } from '../statistics.ts';
import { checkEndpoint, type IncomingEndpointOptions } from '../../transport/endpoint.ts';
import { Connections } from './connections.ts';
import { IncomingSession } from './session.ts';
import { type CheckedIncoming, checkIncoming, type IncomingOptions, openSink } from './options.ts';

export type { IncomingOptions } from './options.ts';

/** An incoming end that is ready for its source. */
export interface IncomingMigration {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /**
   * Resolves once everything is in place.
   * Rejects with a MultifdError: the first thing that went wrong, at either end; ERR_CANCELLED
   * after the signal.
   */
  readonly completed: Promise<MigrationStatistics>;
}

/**
 * The incoming end of a migration: listens for a source, or loads a mapped-ram image, and fills
 * memories or writes an image.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_LISTEN, ERR_EXISTS, ERR_IO, ERR_TLS.
 */
export function receive(options: IncomingOptions): Promise<IncomingMigration> {
  return answering(() => receiveChecked(givenObject('receive', options)));
}

async function receiveChecked(options: IncomingOptions): Promise<IncomingMigration> {
  const { token, origins } = options;
  checkEndpoint({ uri: options.uri, inbox: options.inbox, token, origins });
  const uri = options.uri === undefined ? undefined : parseUri(options.uri);
  const checked = checkIncoming(options);
  const statistics = new StatisticsCollector(checked.pageSize);
  if (uri?.kind !== 'file') return listenFor(options, checked, statistics);
  if (options.tls !== undefined)
    throw new MultifdError('ERR_OPTION', 'TLS is for connections: leave it out for file:');
  if (options.connect)
    throw new MultifdError(
      'ERR_OPTION',
      'a file is no source that listens: leave connect out for file:',
    );
  const { loadImage } = await import('../local/copy.ts');
  const completed = report(
    loadImage(uri.path, uri.offset, options, checked, statistics),
    checked,
    statistics,
  );
  completed.catch(() => {}); // whoever looks at it is told
  return { uri: formatUri(uri), completed };
}

async function listenFor(
  options: IncomingOptions,
  checked: CheckedIncoming,
  statistics: StatisticsCollector,
): Promise<IncomingMigration> {
  const { channels, uuid, timeout, maxConnections, onRejected, signal } = checked;
  const { uri, inbox, token, origins, tls, connect = false } = options;
  const dials = connect ? 1 + channels : undefined;
  const who = { token, origins, tls, maxConnections, onRejected };
  const way: IncomingEndpointOptions = { uri, inbox, ...who, dials, timeout, signal };
  const sink = await openSink(options, checked.pageSize);
  let connections: Connections;
  try {
    connections = await Connections.open(way, {
      channels,
      uuid,
      timeout,
      onFirst: () => statistics.start(),
    });
  } catch (error) {
    await sink.discard();
    throw error;
  }
  const completed = report(
    new IncomingSession(connections, sink, checked, statistics).run(),
    checked,
    statistics,
  );
  completed.catch(() => {});
  return { uri: connections.uri, completed };
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
