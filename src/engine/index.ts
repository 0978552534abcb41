/**
 * The engine: channels, slots, clients, payload types, sync. It moves payloads of any type; RAM and
 * device state are two of them, registered by the migration built on it.
 */
export { MultifdError, type ErrorCode } from '../util/errors.ts';
export { Client, type ClientHandle } from './client.ts';
export { Engine, type EngineOptions, type SlotOwner } from './engine.ts';
export { inlineLauncher, workerLauncher, type Launcher } from './launch.ts';
export type {
  ChannelContext,
  PayloadHandler,
  ProgramFactory,
  ReceiveProgram,
  SendProgram,
} from './program.ts';
export { Receivers } from './receivers.ts';
export { serveChannel } from './program.ts';
export { NONE, type Slot } from './slot.ts';
