import { type ReceiveSettings, type Report, runReception } from './reception.ts';

/**
 * Receives in a thread of its own, which this one shares memory with, and where there is none in
 * this one. The last report is `completed` or `failed`.
 */
export function startReceiving(
  settings: ReceiveSettings,
  signal: AbortSignal,
  onReport: (report: Report) => void,
): void {
  if (!crossOriginIsolated) {
    void runReception(settings, false, signal, onReport);
    return;
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
  signal.addEventListener('abort', () => worker.postMessage('cancel'));
}
