import { imageSink } from '#images';
import type { Endpoint } from '../../transport/endpoint.ts';
import { openOutgoingEndpoint } from '../../transport/endpoint.ts';
import { observer } from '../../util/callbacks.ts';
import { MultifdError } from '../../util/errors.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { OutgoingContent } from './content.ts';
import type { CheckedOutgoing, EndpointChoice, OutgoingOptions } from './options.ts';
import type { RoundPlan } from './rounds.ts';
import { OutgoingSession } from './session.ts';

/** Where an outgoing migration goes: to a target, or into a mapped-ram image. */
export interface Destination {
  /** @throws MultifdError: the first thing that went wrong, at either end. */
  carry(content: OutgoingContent, statistics: StatisticsCollector, plan: RoundPlan): Promise<void>;
  /** Lets no more connections in. */
  close(): void;
}

/**
 * @param endpoint as parsed from `options`.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN.
 */
export async function openDestination(
  endpoint: Endpoint,
  options: EndpointChoice &
    Pick<OutgoingOptions, 'compression' | 'multifd' | 'postcopy' | 'resume'>,
  checked: CheckedOutgoing,
): Promise<Destination> {
  if (endpoint.kind === 'file') {
    demandPlainFile(options);
    return {
      async carry(content, statistics, plan) {
        const { copyToSink } = await import('../local/copy.ts');
        const { path, offset } = endpoint;
        const { force } = checked;
        const sink = await imageSink({ path, offset, force });
        await copyToSink(content, sink, checked, statistics, plan);
      },
      close() {},
    };
  }
  const { token, tls, listen = false, onListening = () => {} } = options;
  const { channels, timeout, maxConnections } = checked;
  const connections = await openOutgoingEndpoint(endpoint, {
    token,
    tls,
    listen,
    channels: (checked.multifd ? channels : 0) + (checked.postcopyPreempt ? 1 : 0),
    timeout,
    maxConnections,
    onRejected: observer('onRejected', options.onRejected),
    onListening,
  });
  return {
    carry: (content, statistics, plan) =>
      new OutgoingSession(connections, content, checked, statistics, plan).run(),
    close: () => connections.close(),
  };
}

/** @throws MultifdError ERR_OPTION. */
function demandPlainFile({
  compression = 'none',
  multifd = true,
  tls,
  listen,
  postcopy,
  resume,
}: Parameters<typeof openDestination>[1]): void {
  if (postcopy || resume)
    throw new MultifdError('ERR_OPTION', 'nobody runs in a file: leave postcopy out for file:');
  if (!multifd)
    throw new MultifdError(
      'ERR_OPTION',
      'an image is written by channels: leave multifd on for file:',
    );
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
