import type * as node from './node.ts';
import { MultifdError } from '../util/errors.ts';
import { type PromiseWithProgress, withProgress } from '../util/progress.ts';

/**
 * What needs files, or ports to listen on. `multifd` has the same names and types everywhere, so
 * here they refuse.
 */
const refused = (name: string) => (): PromiseWithProgress<never> =>
  withProgress(async () => {
    throw new MultifdError(
      'ERR_UNSUPPORTED',
      `there is no ${name}() in this runtime: only the entry for Node, Deno and Bun has it`,
    );
  });

export const proxy: typeof node.proxy = refused('proxy');
export const record: typeof node.record = refused('record');
export const replay: typeof node.replay = refused('replay');
export const extractBlock: typeof node.extractBlock = refused('extractBlock');
export const extractCore: typeof node.extractCore = refused('extractCore');
export const finishImageUpdate: typeof node.finishImageUpdate = refused('finishImageUpdate');
export const inspectRecording: typeof node.inspectRecording = refused('inspectRecording');
export const readRecordingTail: typeof node.readRecordingTail = refused('readRecordingTail');
export const inspectRecordedDevices: typeof node.inspectRecordedDevices =
  refused('inspectRecordedDevices');
