import { connect as netConnect, type Socket } from 'node:net';
import { MultifdError } from '../../util/errors.ts';
import { attempt } from '../../util/deadline.ts';
import { cancelledConnecting, type DialOptions } from '../listener.ts';
import { formatUri, type ConnectionUri } from '../schemes.ts';
import { checkSocketPath } from './socket-file.ts';
import { SocketConnection } from './socket-connection.ts';
import { breakOnError, explainTls, startTls } from './tls.ts';

/**
 * One socket to a listening target.
 * @throws MultifdError ERR_CONNECT, ERR_TLS, ERR_TIMEOUT or ERR_CANCELLED.
 */
export function connectSocket(
  uri: Extract<ConnectionUri, { kind: 'tcp' | 'unix' }>,
  { timeout, signal, channel, tls }: DialOptions,
): Promise<SocketConnection> {
  if (uri.kind === 'unix') {
    try {
      checkSocketPath(uri.path);
    } catch (cause) {
      const message = `${formatUri(uri)} can't be reached: ${(cause as Error).message}`;
      return Promise.reject(new MultifdError('ERR_CONNECT', message, { channel, cause }));
    }
  }
  let doing = 'answer';
  const limits = {
    timeout,
    signal,
    late: () =>
      new MultifdError(
        'ERR_TIMEOUT',
        `${formatUri(uri)} did not ${doing} within ${timeout / 1000} s`,
        { channel },
      ),
    cancelled: (by: AbortSignal) => cancelledConnecting(channel, by),
  };
  return attempt(limits, ({ done, failed }) => {
    // allowHalfOpen: the end of what we send is no end of what the target says on the return path.
    const raw =
      uri.kind === 'tcp'
        ? netConnect({ host: uri.host || '127.0.0.1', port: uri.port, allowHalfOpen: true })
        : netConnect({ path: uri.path, allowHalfOpen: true });
    const onError = (cause: Error): void =>
      failed(
        new MultifdError(
          'ERR_CONNECT',
          `${formatUri(uri)} can't be reached: ${cause.message}; is the target listening?`,
          { channel, cause },
        ),
      );
    raw.on('error', onError);
    const connected = (socket: Socket): void => {
      raw.off('error', onError);
      done(new SocketConnection(socket));
    };
    raw.once('connect', () => {
      raw.setNoDelay(true);
      if (tls === undefined) return connected(raw);
      doing = 'complete the TLS handshake';
      // From now on errors are those of the connection over it.
      raw.off('error', onError).on('error', () => {});
      const secure = startTls(raw, tls);
      const onTlsError = (cause: Error): void =>
        failed(
          new MultifdError('ERR_TLS', `no TLS with ${formatUri(uri)}: ${explainTls(cause)}`, {
            channel,
            cause,
          }),
        );
      secure.on('error', onTlsError);
      secure.once('secureConnect', () => {
        breakOnError(secure);
        secure.off('error', onTlsError);
        connected(secure);
      });
    });
    return () => raw.destroy();
  });
}
