/**
 * The core: page and packet kernels on raw pointers into the imported memory.
 *
 * No heap, no statics, no data segments: several instances work on one shared memory side by side,
 * and instantiating one writes nothing to it. Nothing here traps on purpose. Pointers, sizes and
 * counts come from this project's own code and are trusted; what comes from a wire is checked by
 * the functions named `check...`.
 */
export { normalPages, zeroMask, zeroMaskAt, compareMask } from './pages';
export { neighbours, partition, compact, gather, scatter, clear, clearRun, runs } from './batch';
export { hash, hashPages } from './hash';
export { markPages, nextRun, runEnd, countBits } from './bitmap';
export { fillInitial, checkInitial } from './packet/initial';
export { fillRam, checkRam } from './packet/ram';
export { fillDeviceState, checkDeviceState } from './packet/device-state';
