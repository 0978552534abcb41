import { constants, setPriority } from 'node:os';

/**
 * Makes this thread give way to others. On Linux, where each thread has a priority of its own; elsewhere it would be the whole process, so nothing happens.
 * There is no way back without privileges.
 */
export function giveWay(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is a courtesy: a runtime that knows no priorities, or a sandbox that forbids it, goes on without.
  }
}
