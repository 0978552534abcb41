import { type ReceiveSettings, type Report, runReception } from './reception.ts';

/**
 * Receives in a thread of its own, which this one shares memory with, and where there is none in this one.
 * @returns a function that cancels it.
 */
export function startReceiving(settings: ReceiveSettings, onReport: (report: Report) => void): () => void {
  if (!crossOriginIsolated) {
    const cancelling = new AbortController();
    void runReception(settings, false, cancelling.signal, onReport);
    return () => cancelling.abort();
  }
  const worker = new Worker(new URL('./reception-worker.js', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<Report>) => {
    if (data.kind === 'completed' || data.kind === 'failed') worker.terminate();
    onReport(data);
  });
  worker.addEventListener('error', ({ message }) => {
    worker.terminate();
    onReport({ kind: 'failed', code: 'ERR_INTERNAL', message });
  });
  worker.postMessage(settings);
  return () => worker.postMessage('cancel');
}
