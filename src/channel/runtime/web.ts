import { workerFile } from '../../engine/threads/thread.ts';
import type { WorkerRole } from '../workers/role.ts';
import type * as node from './node.ts';

/**
 * Each stands in full, its options too: bundlers find a worker's file only where they see all of it
 * as literals.
 */
const WORKERS: Readonly<Record<WorkerRole, () => Worker>> = {
  send: () =>
    new Worker(new URL('./send-worker.js', import.meta.url), {
      type: 'module',
      name: 'multifd-send',
    }),
  receive: () =>
    new Worker(new URL('./receive-worker.js', import.meta.url), {
      type: 'module',
      name: 'multifd-receive',
    }),
  copy: () =>
    new Worker(new URL('./copy-worker.js', import.meta.url), {
      type: 'module',
      name: 'multifd-copy',
    }),
  scan: () =>
    new Worker(new URL('./scan-worker.js', import.meta.url), {
      type: 'module',
      name: 'multifd-scan',
    }),
};

export const startOwnWorker: typeof node.startOwnWorker = (role) =>
  workerFile(() => WORKERS[role]());
