import { Worker as Thread } from 'node:worker_threads';
import { canRunFiles, textWorker } from '../../engine/threads/files.ts';
import { type RunningWorker, workerFile } from '../../engine/threads/thread.ts';
import type { WorkerRole } from '../workers/role.ts';

/**
 * Each stands in full: bundlers find a worker's file only where they see `new URL(…,
 * import.meta.url)` with its name as a literal, and copy it as it is. (Under the name Worker
 * webpack 5.113 makes of this what can't run: it takes it for a page's.)
 */
const WORKERS: Readonly<Record<WorkerRole, () => Thread>> = {
  send: () => new Thread(new URL('./send-worker.mjs', import.meta.url), { name: 'multifd-send' }),
  receive: () =>
    new Thread(new URL('./receive-worker.mjs', import.meta.url), { name: 'multifd-receive' }),
  copy: () => new Thread(new URL('./copy-worker.mjs', import.meta.url), { name: 'multifd-copy' }),
  scan: () => new Thread(new URL('./scan-worker.mjs', import.meta.url), { name: 'multifd-scan' }),
};

/**
 * Starts the package's own worker of a role.
 * @throws MultifdError ERR_ENGINE where its file can't be named.
 */
export function startOwnWorker(role: WorkerRole): RunningWorker {
  return workerFile(() => (canRunFiles() ? WORKERS[role]() : asText(role)));
}

/** No bundle is run like this: a bundle is a file. */
function asText(role: WorkerRole): Thread {
  const here = import.meta.url;
  return textWorker(new URL(`./${role}-worker.mjs`, here), `multifd-${role}`);
}
