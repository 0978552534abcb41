import type { DeviceState } from '../../blocks/payloads.ts';
import type { SendPipeline } from './pipeline.ts';

/**
 * Takes a zero page that this thread has found, where those go on the main channel.
 * @param offset bytes in the block.
 */
export type ZeroPageTaker = (block: number, offset: number) => void | Promise<void>;

/** Where the rounds of a course go. */
export interface Sections {
  /** One round: `work` hands pages to the channels, then every channel is synced. */
  round(work: (zeroPage: ZeroPageTaker) => Promise<void>): Promise<void>;
  /**
   * Announces that blocks have grown. No page of what is new may be sent before.
   * @param usedLengths bytes, by block.
   */
  resize(usedLengths: readonly number[]): Promise<void>;
  /** Waits until the target has followed all growth, and allows the switch-over if it is asked. */
  ready(): Promise<void>;
}

/** How an outgoing migration goes over its memory. */
export interface Course {
  /** All rounds but the last one. */
  rounds(sections: Sections): Promise<void>;
  /**
   * The last one, which is synced afterwards.
   * @param carry hands device state over; resolves when it is on its way.
   */
  last(
    carry: (states: Iterable<DeviceState> | AsyncIterable<DeviceState>) => Promise<void>,
  ): Promise<void>;
  /**
   * The target has said that it has everything; or, into a file, every page has been written, so
   * that the memory may change again.
   */
  arrived?(): void | Promise<void>;
}

/** A course before the engine is there. */
export interface CoursePlan {
  /** How many of the engine's clients it needs, numbered from {@link FIRST_CLIENT} on. */
  clients: number;
  /** Bytes that it needs in the arena, at {@link SendPipeline.extra}. */
  extraBytes: number;
  /** There is a program in this thread, which is not to be kept from its work. */
  lowPriority: boolean;
  begin(pipeline: SendPipeline): Course | Promise<Course>;
}

/** Of memory that nobody changes: every page once. */
export function singlePass(
  deviceState: Iterable<DeviceState> | AsyncIterable<DeviceState>,
): CoursePlan {
  return {
    clients: 1,
    extraBytes: 0,
    lowPriority: false,
    begin: (pipeline) => ({
      async rounds(sections) {
        await sections.round((zeroPage) => pipeline.sendPages(zeroPage));
        await sections.ready();
      },
      last: (carry) => carry(deviceState),
    }),
  };
}
