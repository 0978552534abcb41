/**
 * The engine: channels, slots, clients, payload types, sync. It moves payloads of any type; RAM and
 * device state are two of them, registered by the migration built on it.
 *
 * @module multifd/engine
 */
export { MultifdError, type ErrorCode } from '../util/errors.ts';
export { Client, type ClientHandle } from './client.ts';
export { Engine, type EngineOptions, type SlotOwner, type StartOptions } from './engine.ts';
export { inlineLauncher, workerLauncher, type LaunchedChannel, type Launcher } from './launch.ts';
export type { Arena, ArenaHandle, ChannelWords } from './arena.ts';
export type { Geometry, Layout } from './layout.ts';
export type { ChannelGroup, GroupOptions } from './group.ts';
export type { PrestartedWorkers } from './threads/prestarted.ts';
export type { RunningWorker, Thread, ThreadOptions, WorkerModule } from './threads/thread.ts';
export type {
  ChannelContext,
  ChannelEvent,
  ChannelStart,
  PayloadHandler,
  ProgramFactory,
  ReceiveProgram,
  SendProgram,
} from './program.ts';
export { Receivers } from './receivers.ts';
export { serveChannel } from './program.ts';
export { NONE, type Slot } from './slot.ts';
