import { atOnce } from '../../util/callbacks.ts';
import { givenBytes, givenFunction, givenMethods, guarding } from '../../util/checks.ts';
import { givenOptions, type OptionNames } from '../../util/options.ts';
import { MultifdError } from '../../util/errors.ts';
import type { DeviceState } from '../../blocks/payloads.ts';
import type { IncomingBlock } from '../../blocks/targets.ts';
import { Guest } from '../guest.ts';
import type { GuestOptions, LiveBlock, Tracking } from '../guest-options.ts';
import { type Reactor, ReactorProgram } from './program.ts';
import { ReactorPieces, toPieces } from './state.ts';

export type { Reactor } from './program.ts';

const BLOCK_ID = 'memory';

/** How a reactor is stopped and goes on; see `GuestOptions` for what both have. */
export interface ReactorGuestOptions
  extends Omit<GuestOptions, 'blocks' | 'deviceState' | 'check'>,
    Pick<LiveBlock, 'scratch'> {
  /** The RAM block's name (memory). */
  id?: string;
  /** For the program's own memory (compare). Changes in `memories` are found by compare. */
  tracking?: Tracking;
  /** What the host has of the program's state, asked for once it has stopped. */
  saveHost?(): Uint8Array | Promise<Uint8Array>;
}

const GUEST_NAMES = {
  id: true,
  tracking: true,
  scratch: true,
  saveHost: true,
  stop: true,
  resume: true,
  throttle: true,
  pageSize: true,
  sliceMs: true,
  scanShare: true,
  scanThreads: true,
} as const satisfies OptionNames<ReactorGuestOptions>;

/**
 * The source end of a reactor: a {@link Guest} that carries its memories, its exported mutable
 * globals, and the host's own bytes.
 *
 * What it can see that can't be moved it refuses, before anything stops where it can: globals that
 * hold references, and tables that have changed since this call. What can't be seen from outside is
 * the caller's to know: globals that are not exported, calls that are under way, what the host has
 * elsewhere.
 * @throws MultifdError ERR_OPTION; ERR_GUEST for a program that can't be moved.
 */
export function reactorGuest(reactor: Reactor, options: ReactorGuestOptions): Guest {
  return guarding(() =>
    guestOf(reactor, givenOptions('options of a reactor', options, GUEST_NAMES)),
  );
}

function guestOf(reactor: Reactor, options: ReactorGuestOptions): Guest {
  const { id = BLOCK_ID, tracking, scratch, saveHost, ...rest } = options;
  givenFunction('saveHost', saveHost);
  const program = new ReactorProgram(reactor, id);
  const own = { ...(tracking && { tracking }), ...(scratch !== undefined && { scratch }) };
  return new Guest({
    ...rest,
    blocks: [...program.memories].map(([name, memory]) => ({
      id: name,
      memory,
      ...(name === id && own),
    })),
    check: () => program.check(),
    async *deviceState() {
      const host = givenBytes('what saveHost() gave', (await saveHost?.()) ?? new Uint8Array(0));
      yield* toPieces({ description: program.description, globals: program.globals(), host });
    },
  });
}

/** How a reactor begins at the target. */
export interface ReactorTargetOptions {
  /** The RAM block's name (memory). */
  id?: string;
  /** Called last: the program is there, and may run. */
  start(): void | Promise<void>;
  /** Takes what the source's `saveHost` gave. */
  loadHost?(host: Uint8Array): void | Promise<void>;
  /**
   * Grows the memory to at least so many bytes, where the host has views of it that have to follow
   * (memory.grow). Called also when half of the source's memory is there: it must not run the
   * program's own code.
   */
  grow?(bytes: number, id: string): void;
}

const TARGET_NAMES = {
  id: true,
  start: true,
  loadHost: true,
  grow: true,
} as const satisfies OptionNames<ReactorTargetOptions>;

/** What `receive` needs to know of a reactor. */
export interface ReactorTarget {
  blocks(block: IncomingBlock): WebAssembly.Memory;
  onDeviceState(state: DeviceState): void;
  start(): Promise<void>;
}

/**
 * The target end: options for `receive`, for an instance of the same program, freshly made in the
 * same way. It is used once.
 *
 * Before anything but the memory is set, the source's program is compared with this one: exports,
 * constants, tables, kinds of memory, types of globals.
 * @throws MultifdError ERR_OPTION; ERR_GUEST for a program that can't be moved.
 */
export function reactorTarget(reactor: Reactor, options: ReactorTargetOptions): ReactorTarget {
  return guarding(() =>
    targetOf(reactor, givenOptions('options of a reactor', options, TARGET_NAMES)),
  );
}

function targetOf(reactor: Reactor, options: ReactorTargetOptions): ReactorTarget {
  const {
    id = BLOCK_ID,
    start,
    loadHost,
    grow,
  } = givenMethods('options of a reactor', options, ['start'], 'a function start');
  for (const [name, value] of Object.entries({ loadHost, grow })) givenFunction(name, value);
  const program = new ReactorProgram(reactor, id);
  const pieces = new ReactorPieces();
  const announced = new Set<string>();
  return {
    blocks(block) {
      const memory = program.memories.get(block.id);
      if (memory === undefined)
        throw new MultifdError(
          'ERR_BLOCK',
          `the source has a block ${JSON.stringify(block.id)}, this program only ` +
            `${[...program.memories.keys()].map((name) => JSON.stringify(name)).join(', ')}`,
        );
      announced.add(block.id);
      if (memory.buffer.byteLength < block.usedLength)
        atOnce('grow()', grow?.(block.usedLength, block.id));
      // What lies behind the source's end belongs to no block.
      if (memory.buffer.byteLength > block.usedLength)
        new Uint8Array(memory.buffer).fill(0, block.usedLength);
      return memory;
    },
    onDeviceState: (state) => pieces.take(state),
    async start() {
      const { description, globals, host } = pieces.join();
      for (const name of program.memories.keys())
        if (!announced.has(name))
          throw new MultifdError(
            'ERR_GUEST',
            `the source sent no block ${JSON.stringify(name)}, which is a memory of this program`,
          );
      program.check();
      program.compare(description);
      program.setGlobals(globals);
      await loadHost?.(host);
      await start();
    },
  };
}
