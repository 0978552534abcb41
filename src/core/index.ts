/**
 * Level 1, the core: page and packet kernels in WebAssembly over any memory, and the layouts they
 * work on. It does no I/O and starts no thread.
 *
 * @module multifd/core
 */
export {
  compileCore,
  coreKind,
  instantiateCore,
  instantiateCoreSync,
  type CoreKind,
  type CoreModules,
} from './load.ts';
export type { Address, CoreExports } from './exports.ts';
export { packetError, REFUSAL } from './check.ts';
export { blockTable, decodeId, encodeId, type BlockTableEntry } from './names.ts';
export * from './layout.ts';
export { MultifdError, type ErrorCode, type ErrorPlace, type ErrorRecord } from '../util/errors.ts';
