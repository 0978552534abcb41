/**
 * The thread of its own that a reception has where memory can be shared. Posted its settings it
 * starts; anything after that cancels it.
 */
import { type ReceiveSettings, runReception } from './reception.ts';

const cancelling = new AbortController();

addEventListener(
  'message',
  ({ data }: MessageEvent<ReceiveSettings>) => {
    addEventListener('message', () => cancelling.abort());
    void runReception(data, true, cancelling.signal, (report) => postMessage(report));
  },
  { once: true },
);
