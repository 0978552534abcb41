import { sleep } from '../../util/timing.ts';
import { CLOSE_MS } from '../connection.ts';
import type { StreamPair } from '../stream-connection.ts';

/**
 * A WebSocket as a pair of streams. Binary messages carry the bytes; their borders mean nothing. A
 * WebSocket has no half-close, which a migration's main channel needs: so an empty binary message
 * says that nothing more comes from its sender, as a FIN does.
 */

/**
 * What the runtimes' WebSockets and those of the package `ws` have in common. Some can be told to
 * wait, and some call back when bytes have left; which ones do is tried, since names don't tell:
 * Bun's own has `pause`, and never calls back.
 */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount?: number;
  send(data: Uint8Array<ArrayBuffer>, sent?: (error?: Error) => void): void;
  close(code?: number, reason?: string): void;
  addEventListener(
    type: 'open' | 'message' | 'close' | 'error',
    listener: (event: never) => void,
  ): void;
  pause?(): void;
  resume?(): void;
  terminate?(): void;
}

/**
 * Bytes that may wait to be sent before a writer waits, where a WebSocket does not call back when
 * they have left.
 */
const HIGH_WATER = 4 << 20;
const POLL_MS = 1;
/**
 * Bytes that may wait to be read. A WebSocket that can't be told to wait goes on sending; a reader
 * that falls back further than this is given up.
 */
const MOST_UNREAD = 64 << 20;
/** From here on one that can be told to wait is told. */
const READ_AHEAD = 1 << 20;

/**
 * The largest message taken, where a runtime lets us say so. Borders mean nothing, so that no
 * peer has a reason to send larger ones; workerd takes no more either.
 */
export const MAX_MESSAGE = 1 << 20;

const OPEN = 1;
const NORMAL = 1000;
const EMPTY = new Uint8Array(0);

/** @param socket one that is open. */
export function webSocketPair(socket: WebSocketLike): StreamPair {
  socket.binaryType = 'arraybuffer';
  let theirs = false;
  let ours = false;
  let over = false;
  let lost: Error | undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;
  const cut = (): void => {
    over = true;
    if (socket.terminate !== undefined) socket.terminate();
    else socket.close();
  };
  /** Sends a close frame. A peer that does not answer is terminated, where the runtime can. */
  const close = (code?: number): void => {
    socket.close(code);
    if (socket.terminate !== undefined)
      patience ??= setTimeout(() => socket.terminate?.(), CLOSE_MS);
  };
  const hangUp = (): void => {
    if (theirs && ours && !over) close(NORMAL);
  };
  let failWriting: (error: Error) => void = () => {};
  /** Whether it calls back when bytes have left; undefined until some have. */
  let callsBack: boolean | undefined;

  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const fail = (error: Error): void => {
          if (over) return;
          over = true;
          lost = error;
          if (!theirs) controller.error(error);
          failWriting(error);
          close();
        };
        socket.addEventListener('message', ({ data }: { data: unknown }) => {
          if (over || theirs) return;
          if (!(data instanceof ArrayBuffer))
            return fail(new Error('it sends text, which no migration does'));
          if (data.byteLength === 0) {
            theirs = true;
            controller.close();
            socket.resume?.(); // nothing pulls any more, and the peer's close frame is to come
            return hangUp();
          }
          controller.enqueue(new Uint8Array(data));
          const room = controller.desiredSize ?? 0;
          if (room <= 0) socket.pause?.();
          if (room < READ_AHEAD - MOST_UNREAD)
            fail(
              new Error(
                `${MOST_UNREAD} bytes have come and were not read, and a WebSocket can't be ` +
                  'told to wait',
              ),
            );
        });
        socket.addEventListener('error', ({ message }: { message?: string }) =>
          fail(new Error(message || 'the WebSocket broke')),
        );
        socket.addEventListener('close', ({ code, reason }: { code: number; reason: string }) => {
          // A peer that knows no half-close ends both ways at once.
          if (code === NORMAL && !over && !theirs) {
            theirs = true;
            controller.close();
          }
          if (!ours || !theirs)
            fail(new Error(`the WebSocket was closed (${code}${reason ? ` ${reason}` : ''})`));
          over = true;
          clearTimeout(patience);
        });
      },
      pull: () => socket.resume?.(),
      cancel: cut,
    },
    { highWaterMark: READ_AHEAD, size: (chunk) => chunk?.length ?? 0 },
  );

  const send = async (chunk: Uint8Array<ArrayBuffer>): Promise<void> => {
    if (over || socket.readyState !== OPEN) throw new Error('the WebSocket was closed');
    if (callsBack === false) {
      socket.send(chunk);
      return drained(HIGH_WATER);
    }
    const called = new Promise<true>((resolve, reject) => {
      socket.send(chunk, (error) => {
        callsBack = true;
        if (error) reject(error);
        else resolve(true);
      });
    });
    if (callsBack) return void (await called);
    // The first bytes tell: a runtime that calls back does so as soon as they have left.
    callsBack ||= await Promise.race([
      called,
      drained(0)
        .then(() => sleep(POLL_MS))
        .then(() => false),
    ]);
  };

  async function drained(rest: number): Promise<void> {
    while (!over && (socket.bufferedAmount ?? 0) > rest) await sleep(POLL_MS);
  }

  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      failWriting = (error) => {
        if (!ours) controller.error(error);
      };
    },
    write: (chunk) => send(chunk as Uint8Array<ArrayBuffer>),
    async close() {
      const sent = send(EMPTY);
      // The other end may hang up before we have seen that it has this.
      ours = true;
      await sent;
      await drained(0);
      if (lost !== undefined) throw lost;
      hangUp();
    },
    abort: cut,
  });
  return { readable, writable };
}
