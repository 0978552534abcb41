import type { StreamPair } from '../stream-connection.ts';

/**
 * A MessagePort as a pair of streams: bytes are posted as they are, their memory handed over. A
 * port has no back-pressure and no end of its own, so what is posted besides bytes is how many were
 * taken (a number), that nothing more comes ('end'), and that nothing more goes either way ('cut').
 */
type Message = Uint8Array<ArrayBuffer> | number | 'end' | 'cut';

/** The part of a port that every runtime's has. */
export interface PortLike {
  postMessage(message: unknown): void;
  postMessage(message: unknown, transfer: never[]): void;
  close(): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onmessageerror: ((event: never) => void) | null;
  /** Not all runtimes tell that the other end's thread has gone. */
  addEventListener(type: 'close', listener: () => void): void;
}

/** Bytes on their way, posted and not taken, before a writer waits. */
const WINDOW = 2 << 20;
const GIVEN_UP = 'the other end of the port has given up';
const UNREADABLE = 'the other end of the port posted what can not be read here';

export function messagePortPair(port: PortLike): StreamPair {
  let onWay = 0;
  let room: (() => void) | undefined;
  let theirs = false;
  let ours = false;
  let cut = false;
  const unacknowledged: number[] = [];
  let handsOver = true;
  const post = (message: Message, transfer: ArrayBuffer[] = []): void => {
    if (transfer.length === 0 || !handsOver) return port.postMessage(message);
    try {
      port.postMessage(message, transfer as never[]);
    } catch {
      handsOver = false; // workerd copies all that is posted, and takes no list
      port.postMessage(message);
    }
  };
  const close = (): void => {
    if (theirs && ours) port.close();
  };
  /** Tells the other end, which may be reading, writing, or both. */
  const giveUp = (): void => {
    if (cut) return;
    cut = true;
    post('cut');
    port.close();
    room?.();
  };
  let failWriting: (why: string) => void = () => {};

  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const gone = (why = GIVEN_UP): void => {
          if (cut || (theirs && ours)) return;
          cut = true;
          if (!theirs) controller.error(new Error(why));
          theirs = true;
          failWriting(why);
          port.close();
        };
        port.addEventListener('close', () => gone());
        port.onmessageerror = () => {
          if (!cut) post('cut');
          gone(UNREADABLE);
        };
        port.onmessage = ({ data }: MessageEvent) => {
          if (cut) return;
          if (typeof data === 'number') {
            onWay -= data;
            room?.();
          } else if (data === 'end') {
            if (!theirs) controller.close();
            theirs = true;
            close();
          } else if (data instanceof Uint8Array && !theirs) {
            unacknowledged.push(data.length);
            controller.enqueue(data);
          } else gone();
        };
      },
      // Called when the queue has run dry: what was in it is taken.
      pull() {
        for (const bytes of unacknowledged.splice(0)) post(bytes);
      },
      cancel: giveUp,
    },
    { highWaterMark: 0 },
  );
  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      failWriting = (why) => {
        if (!ours) controller.error(new Error(why));
        room?.();
      };
    },
    async write(chunk) {
      // What is a part of something larger can't be handed over without it.
      const own = (
        chunk.byteLength === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer
          ? chunk
          : chunk.slice()
      ) as Uint8Array<ArrayBuffer>;
      onWay += own.length;
      post(own, [own.buffer]);
      while (onWay > WINDOW && !cut) {
        await new Promise<void>((resolve) => {
          room = resolve;
        });
      }
    },
    close() {
      ours = true;
      post('end');
      close();
    },
    abort: giveUp,
  });
  return { readable, writable };
}
