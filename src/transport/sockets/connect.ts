import { connect as netConnect, type Socket } from 'node:net';
import { MultifdError } from '../../util/errors.ts';
import type { DialOptions } from '../listener.ts';
import { formatUri, type ConnectionUri } from '../uri.ts';
import { checkSocketPath } from '../sockets/socket-file.ts';
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
  return new Promise((resolve, reject) => {
    // allowHalfOpen: the end of what we send is no end of what the target says on the return path.
    const raw =
      uri.kind === 'tcp'
        ? netConnect({ host: uri.host || '127.0.0.1', port: uri.port, allowHalfOpen: true })
        : netConnect({ path: uri.path, allowHalfOpen: true });
    let doing = 'answer';
    const fail = (error: MultifdError): void => {
      settle();
      raw.destroy();
      reject(error);
    };
    const onError = (cause: Error): void =>
      fail(
        new MultifdError(
          'ERR_CONNECT',
          `${formatUri(uri)} can't be reached: ${cause.message}; is the target listening?`,
          { channel, cause },
        ),
      );
    const onAbort = (): void =>
      fail(new MultifdError('ERR_CANCELLED', 'cancelled while connecting', { channel }));
    const timer = setTimeout(
      () =>
        fail(
          new MultifdError(
            'ERR_TIMEOUT',
            `${formatUri(uri)} did not ${doing} within ${timeout / 1000} s`,
            { channel },
          ),
        ),
      timeout,
    );
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      raw.off('error', onError);
    };
    const done = (socket: Socket): void => {
      settle();
      resolve(new SocketConnection(socket));
    };
    raw.once('error', onError);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) return onAbort();
    raw.once('connect', () => {
      raw.setNoDelay(true);
      if (tls === undefined) return done(raw);
      doing = 'complete the TLS handshake';
      // From now on errors are those of the connection over it.
      raw.off('error', onError).on('error', () => {});
      const secure = startTls(raw, tls);
      const onTlsError = (cause: Error): void =>
        fail(
          new MultifdError('ERR_TLS', `no TLS with ${formatUri(uri)}: ${explainTls(cause)}`, {
            channel,
            cause,
          }),
        );
      secure.on('error', onTlsError);
      secure.once('secureConnect', () => {
        breakOnError(secure);
        secure.off('error', onTlsError);
        done(secure);
      });
    });
  });
}
