import { connect as netConnect, type Socket } from 'node:net';
import { MultifdError } from '../errors.ts';
import { formatUri, type SocketUri } from './uri.ts';

export interface ConnectOptions {
  /** Milliseconds until the connection has to stand. */
  timeout: number;
  signal?: AbortSignal;
  channel: number | 'main';
}

/**
 * One connection to a listening target.
 * @throws MultifdError ERR_CONNECT, ERR_TIMEOUT or ERR_CANCELLED.
 */
export function connect(uri: SocketUri, { timeout, signal, channel }: ConnectOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // allowHalfOpen: the end of what we send is no end of what the target says on the return path.
    const socket = uri.kind === 'tcp' ? netConnect({ host: uri.host || '127.0.0.1', port: uri.port, allowHalfOpen: true }) : netConnect({ path: uri.path, allowHalfOpen: true });
    const fail = (error: MultifdError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onError = (cause: Error): void =>
      fail(new MultifdError('ERR_CONNECT', `${formatUri(uri)} can't be reached: ${cause.message}; is the target listening?`, { channel, cause }));
    const onAbort = (): void => fail(new MultifdError('ERR_CANCELLED', 'cancelled while connecting', { channel }));
    const timer = setTimeout(() => fail(new MultifdError('ERR_TIMEOUT', `${formatUri(uri)} did not answer within ${timeout / 1000} s`, { channel })), timeout);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    socket.once('error', onError);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) return onAbort();
    socket.once('connect', () => {
      settle();
      socket.setNoDelay(true);
      // Without a listener, a reset between two of our calls would end the process. Whoever reads or writes next is told.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}
