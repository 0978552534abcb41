/** The parts of a migration that run in threads of their own. */
export type WorkerRole = 'send' | 'receive' | 'copy' | 'scan';
