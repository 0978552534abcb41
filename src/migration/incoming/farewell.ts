import type { Socket } from 'node:net';
import { returnMessage } from '../../stream/index.ts';

/** How long the last message may take to leave, before the connection is cut. */
const FAREWELL_MS = 1_000;

/**
 * Says SHUT on the return path, the last thing a target says, and sees the message off.
 * @param status 0: the target has everything.
 */
export async function farewell(socket: Socket, status: number): Promise<void> {
  if (!socket.writable) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, FAREWELL_MS);
    const left = (): void => {
      clearTimeout(timer);
      resolve();
    };
    socket.once('close', left);
    // The end of a TLS source's stream is a record like others, and to be read before the connection is closed (see below).
    const waitsForEnd = status !== 0 || ('encrypted' in socket && !socket.readableEnded);
    if (status === 0) socket.once('end', left);
    socket.end(returnMessage({ type: 'shut', status }), waitsForEnd ? undefined : left);
    // A connection that is closed with bytes unread is reset, and the message can be lost over that. So a source that is in the middle of its stream
    // is read on, to nowhere, until it has heard and hung up.
    if (waitsForEnd) socket.removeAllListeners('readable').resume();
  });
}
