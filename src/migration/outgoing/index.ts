import { imageSink } from '#images';
import { observer } from '../../util/callbacks.ts';
import { answering, givenObject } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { parseUri } from '../../transport/uri.ts';
import { type MigrationStatistics, StatisticsCollector } from '../statistics.ts';
import {
  checkEndpoint,
  type OutgoingEndpoint,
  openOutgoingEndpoint,
} from '../../transport/endpoint.ts';
import { openContent } from './content.ts';
import { singlePass } from './rounds.ts';
import {
  type CheckedOutgoing,
  checkOutgoing,
  type EndpointChoice,
  type OutgoingOptions,
} from './options.ts';
import { migrateToTarget } from './session.ts';

export type { OutgoingOptions, ZeroPageDetection } from './options.ts';

/**
 * The outgoing end of a migration: sends memories, or an image, to a listening target or into a
 * mapped-ram image.
 *
 * With a return path it resolves once the target has everything in place. Until then, and whatever
 * happens, nothing at the source has changed.
 * @throws MultifdError: the first thing that went wrong, at either end; ERR_CANCELLED after the
 *   signal.
 */
export function send(options: OutgoingOptions): Promise<MigrationStatistics> {
  return answering(() => sendChecked(givenObject('send', options)));
}

async function sendChecked(options: OutgoingOptions): Promise<MigrationStatistics> {
  checkEndpoint(options);
  const uri = options.uri === undefined ? undefined : parseUri(options.uri);
  const checked = checkOutgoing(options);
  const file = uri?.kind === 'file' ? uri : undefined;
  if (file !== undefined) demandPlainFile(options);
  const connections = file === undefined ? await openEndpoint(options, checked) : undefined;
  const statistics = new StatisticsCollector(checked.pageSize);
  const plan = singlePass(options.deviceState ?? []);
  try {
    const content = await openContent(options, checked.pageSize);
    try {
      if (connections === undefined)
        await (await import('../local/copy.ts')).copyToSink(
          content,
          await imageSink({ ...file!, force: checked.force, pageSize: checked.pageSize }),
          checked,
          statistics,
          plan,
        );
      else await migrateToTarget(connections, content, checked, statistics, plan);
    } finally {
      statistics.end();
      checked.onProgress(statistics.snapshot());
      await content.close();
    }
  } finally {
    connections?.close();
  }
  return statistics.snapshot();
}

/**
 * The connections of a source, by what its caller says of them.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN.
 */
export async function openEndpoint(
  options: EndpointChoice,
  { channels, timeout, maxConnections }: CheckedOutgoing,
): Promise<OutgoingEndpoint> {
  const { uri, inbox, connect, token, tls, listen = false, onListening = () => {} } = options;
  const onRejected = observer('onRejected', options.onRejected);
  return openOutgoingEndpoint({
    uri,
    inbox,
    connect,
    token,
    tls,
    listen,
    channels,
    timeout,
    maxConnections,
    onRejected,
    onListening,
  });
}

/** @throws MultifdError ERR_OPTION. */
export function demandPlainFile({
  compression = 'none',
  tls,
  listen,
}: Pick<OutgoingOptions, 'compression' | 'tls' | 'listen'>): void {
  if (compression !== 'none')
    throw new MultifdError(
      'ERR_OPTION',
      'mapped-ram images are not compressed: leave compression at none for file:',
    );
  if (tls !== undefined)
    throw new MultifdError('ERR_OPTION', 'TLS is for connections: leave it out for file:');
  if (listen)
    throw new MultifdError('ERR_OPTION', 'nobody connects to a file: leave listen out for file:');
}
