import { staying } from '../util/timing.ts';
import type { OptionNames } from '../util/options.ts';
import { MultifdError } from '../util/errors.ts';
import { Arena } from './arena.ts';
import { type Geometry, State } from './layout.ts';
import type { LaunchedChannel, Launcher } from './launch.ts';
import type { ChannelEvent } from './program.ts';
import type { Semaphore } from './semaphore.ts';
import { GRACE_MS } from './threads/thread.ts';

/** What `Receivers` are made of. */
export interface GroupOptions {
  /** How many channels, and how much memory. */
  geometry: Geometry;
  /** Starts the channels. */
  launcher: Launcher;
  /** Called with what programs emit. */
  onValue?: (channel: number, value: unknown) => void;
}

/** The names of {@link GroupOptions}. */
export const GROUP_NAMES = {
  geometry: true,
  launcher: true,
  onValue: true,
} as const satisfies OptionNames<GroupOptions>;

/**
 * Whether the arena can be memory that other threads see. Channels inside the owner's thread do
 * without, where a runtime has no such memory, or no way to wait for it without blocking.
 */
export function canShare(inline: boolean): boolean {
  if (
    typeof SharedArrayBuffer === 'function' &&
    (!inline || typeof Atomics.waitAsync === 'function')
  )
    return true;
  if (inline) return false;
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    'there is no shared memory here, so channels can be no threads: let them run inline (a ' +
      'page has it when it is served with COOP and COEP)',
  );
}

/**
 * N channels over one arena, and the one answer to how they ended. The first failure, here or in
 * any channel, is the group's error; all later ones are consequences and are dropped.
 */
export class ChannelGroup {
  /** The memory of all channels. */
  readonly arena: Arena;
  /** Whether the channels are tasks of the owner's thread. */
  readonly inline: boolean;
  /** Resolves with the first error, as soon as there is one. Never rejects. */
  readonly failure: Promise<MultifdError>;
  /** The first error, once known. */
  error: MultifdError | undefined;
  readonly #resolveFailure: (error: MultifdError) => void;
  readonly #launcher: Launcher;
  readonly #onValue: (channel: number, value: unknown) => void;
  readonly #channels: LaunchedChannel[] = [];
  #open = 0;
  #onOpen: (() => void) | undefined;

  constructor({ geometry, launcher, onValue = () => {} }: GroupOptions) {
    let resolveFailure: (error: MultifdError) => void = () => {};
    this.failure = new Promise((resolve) => {
      resolveFailure = resolve;
    });
    this.#resolveFailure = resolveFailure;
    this.inline = launcher.inline;
    this.arena = Arena.create(geometry, canShare(launcher.inline));
    this.#launcher = launcher;
    this.#onValue = onValue;
  }

  /**
   * Starts every channel, each with its own data, and waits until all are open.
   * @param lowPriority this thread has other work, which is not to suffer: threads start one after
   *   the other, as each takes a processor for some ten milliseconds, at a lower priority from
   *   then on.
   * @throws the first error of any channel; MultifdError ERR_ENGINE when there is not one piece
   *   of data a channel, or on a second call.
   */
  async start(data: readonly unknown[], lowPriority = false): Promise<void> {
    const count = this.arena.channels.length;
    if (data.length !== count)
      throw new MultifdError(
        'ERR_ENGINE',
        `data for ${data.length} channels: the group has ${count}`,
      );
    if (this.#channels.length > 0)
      throw new MultifdError('ERR_ENGINE', 'the channels were started already: make a new group');
    for (const [id, own] of data.entries()) {
      if (this.error !== undefined) break;
      try {
        const channel = this.#launcher.launch(
          { arena: this.arena.handle, id, data: own, lowPriority },
          (event) => this.#hear(id, event),
        );
        // A launcher may be the caller's own: one whose `gone` rejects is waited for no longer.
        const gone = Promise.resolve(channel.gone).catch((thrown: unknown) =>
          this.fail(MultifdError.from(thrown, 'ERR_ENGINE', { channel: id })),
        );
        this.#channels.push({ gone, stop: () => channel.stop(), kill: () => channel.kill() });
      } catch (thrown) {
        this.fail(MultifdError.from(thrown, 'ERR_ENGINE', { channel: id }));
      }
      if (lowPriority) await this.#isOpen(id + 1);
    }
    await this.#isOpen(count);
  }

  /** `work`, or the group's first error thrown as soon as there is one. */
  async race<T>(work: Promise<T>): Promise<T> {
    if (this.error !== undefined) {
      work.catch(() => {}); // what fails after the failure is its consequence
      throw this.error;
    }
    return Promise.race([
      work,
      this.failure.then((error) => {
        throw error;
      }),
    ]);
  }

  /**
   * Takes one of a semaphore's counts, without blocking.
   * @throws the group's error, if it fails before or meanwhile; MultifdError ERR_ENGINE when it
   *   has ended.
   * @internal
   */
  async take(semaphore: Semaphore): Promise<void> {
    if (!(await semaphore.waitAsync(this.arena.running))) throw await this.whyNot();
  }

  /** Why the group does not run any more. */
  async whyNot(): Promise<MultifdError> {
    // The channel that sets the state reports right after it, and if it dies instead, that is heard
    // of: the error is here, or on its way.
    if (this.error !== undefined || this.arena.state === State.FAILED) return this.failure;
    return new MultifdError('ERR_ENGINE', 'the channels have ended: start a new engine');
  }

  /** A channel has failed, and its error is on its way: what is seen meanwhile is a consequence. */
  get failing(): boolean {
    return this.error === undefined && this.arena.state === State.FAILED;
  }

  /**
   * Fails the group, unless it has failed already, and wakes every waiter in every thread. A
   * channel that does not stop soon is ended.
   */
  fail(error: MultifdError): void {
    if (!this.failing) this.#failWith(error);
  }

  #failWith(error: MultifdError): void {
    if (this.error !== undefined) return;
    this.error = error;
    this.#resolveFailure(error);
    this.arena.enter(State.FAILED);
    for (const channel of this.#channels) channel.stop();
    const overdue = setTimeout(() => {
      for (const channel of this.#channels) channel.kill();
    }, GRACE_MS);
    void this.#allGone().then(() => clearTimeout(overdue));
  }

  /** Lets idle channels end. */
  end(): void {
    if (this.arena.enter(State.ENDING)) for (const channel of this.#channels) channel.stop();
  }

  /**
   * Waits until nothing of any channel is left. Never rejects; {@link error} says how it ended.
   * Call {@link end} or {@link fail} before.
   */
  async join(): Promise<void> {
    await staying(this.#allGone());
    const { channels, sendLock } = this.arena;
    // A send that had its channel when the group failed may still be at its swap. It takes no time,
    // unless its thread has died there.
    let patient = true;
    const overdue = setTimeout(() => {
      patient = false;
      sendLock.wakeAll();
    }, GRACE_MS);
    const locked = await sendLock.lockAsync(() => patient);
    clearTimeout(overdue);
    // No thread touches these slots any more: what a failed channel left in its own is emptied
    // here. The clients' are theirs.
    for (const id of channels.keys()) this.arena.channelSlot(id).clear();
    if (locked) sendLock.unlock();
  }

  async #allGone(): Promise<void> {
    await Promise.all(this.#channels.map(({ gone }) => gone));
  }

  #hear(id: number, event: ChannelEvent): void {
    if (event.kind === 'failed') this.#failWith(MultifdError.fromRecord(event.error));
    else if (event.kind === 'value') this.#pass(id, event.value);
    else if (event.kind === 'open') {
      this.#open++;
      this.#onOpen?.();
    }
  }

  /** Waits until so many channels are open. */
  #isOpen(count: number): Promise<void> {
    return this.race(
      new Promise((resolve) => {
        this.#onOpen = () => {
          if (this.#open >= count) resolve();
        };
        this.#onOpen();
      }),
    );
  }

  #pass(id: number, value: unknown): void {
    const failed = (thrown: unknown): void =>
      this.fail(MultifdError.from(thrown, 'ERR_ENGINE', { channel: id }));
    try {
      Promise.resolve<unknown>(this.#onValue(id, value)).catch(failed);
    } catch (thrown) {
      failed(thrown);
    }
  }
}
