import type { DeviceState } from '../../blocks/payloads.ts';
import type { SendPipeline } from './pipeline.ts';

/**
 * Takes a zero page that this thread has found, where those go on the main channel.
 * @param offset bytes in the block.
 */
export type ZeroPageTaker = (block: number, offset: number) => void | Promise<void>;

/** What an outgoing migration does next. */
export type Step =
  | {
      /** `work` hands pages to the channels, then every channel is synced. */
      readonly kind: 'round';
      work(zeroPage: ZeroPageTaker): Promise<void>;
    }
  | {
      /** Blocks have grown. No page of what is new may be sent before. */
      readonly kind: 'resize';
      /** Bytes, by block. */
      readonly usedLengths: readonly number[];
    }
  /** Waits until the target has followed all growth, and allows the switch-over if it is asked. */
  | { readonly kind: 'ready' }
  | {
      /** The target runs from here on, and gets the rest meanwhile. No step comes after it. */
      readonly kind: 'postcopy';
      /** Every page has been sent. */
      readonly precopied: boolean;
    }
  /** The same, at a target that was in it and has been cut off. */
  | { readonly kind: 'resume' }
  | {
      /** The last round, of memory that no longer changes. No step comes after it. */
      readonly kind: 'last';
      work(): Promise<void>;
      /** Begun once the work has. */
      deviceState(): Iterable<DeviceState> | AsyncIterable<DeviceState>;
    };

/** The step of a kind. */
export type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** How an outgoing migration goes over its memory. */
export interface RoundPlan {
  /** How many of the engine's clients it needs, numbered from {@link FIRST_CLIENT} on. */
  readonly clients: number;
  /** Bytes that it needs in the arena, at {@link SendPipeline.extra}. */
  readonly extraBytes: number;
  /** There is a program in this thread, which is not to be kept from its work. */
  readonly lowPriority: boolean;
  /** Goes on behind each step once that has been done. */
  steps(pipeline: SendPipeline): AsyncGenerator<Step, void, void>;
  /**
   * The target has said that it has everything; or, into a file, every page has been written, so
   * that the memory may change again.
   */
  arrived?(): void | Promise<void>;
}

/** Of memory that does not change: every page once. */
export function singlePass(
  deviceState: Iterable<DeviceState> | AsyncIterable<DeviceState>,
): RoundPlan {
  return {
    clients: 1,
    extraBytes: 0,
    lowPriority: false,
    async *steps(pipeline) {
      yield { kind: 'round', work: (zeroPage) => pipeline.sendPages(zeroPage) };
      yield { kind: 'ready' };
      yield { kind: 'last', work: async () => {}, deviceState: () => deviceState };
    },
  };
}

/**
 * Of memory that does not change, to a target that runs before it has come.
 * @param rounds before that: one has every page, and all after it have nothing left to send.
 */
export function postcopyPlan({ rounds, resume }: { rounds: number; resume: boolean }): RoundPlan {
  return {
    clients: 1,
    extraBytes: 0,
    lowPriority: false,
    async *steps(pipeline) {
      if (resume) return yield { kind: 'resume' };
      for (let round = 0; round < rounds; round++)
        yield {
          kind: 'round',
          work: async (zeroPage) => {
            if (round === 0) await pipeline.sendPages(zeroPage);
          },
        };
      yield { kind: 'ready' };
      yield { kind: 'postcopy', precopied: rounds > 0 };
    },
  };
}
