import { MultifdError } from '../errors.ts';
import { Arena } from './arena.ts';
import { type Geometry, State } from './layout.ts';
import type { LaunchedChannel, Launcher } from './launch.ts';
import type { ChannelEvent } from './messages.ts';

/** How long a channel that was asked to stop may take before its thread is ended. */
const GRACE_MS = 5_000;

export interface GroupOptions {
  geometry: Geometry;
  launcher: Launcher;
  /** Called with what programs emit. */
  onValue?: (channel: number, value: unknown) => void;
}

/**
 * N channels over one arena, and the one answer to how they ended. Whatever fails first, here or in any channel, is the group's error; all
 * later ones are consequences and are dropped.
 */
export class ChannelGroup {
  readonly arena: Arena;
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
  #allOpen: (() => void) | undefined;

  constructor({ geometry, launcher, onValue = () => {} }: GroupOptions) {
    let resolveFailure: (error: MultifdError) => void = () => {};
    this.failure = new Promise((resolve) => {
      resolveFailure = resolve;
    });
    this.#resolveFailure = resolveFailure;
    this.arena = Arena.create(geometry);
    this.inline = launcher.inline;
    this.#launcher = launcher;
    this.#onValue = onValue;
  }

  /**
   * Starts every channel, each with its own data, and waits until all are open.
   * @throws the first error of any channel.
   */
  async start(data: readonly unknown[]): Promise<void> {
    const opened = new Promise<void>((resolve) => {
      this.#allOpen = resolve;
    });
    for (const [id, own] of data.entries()) {
      if (this.error !== undefined) break;
      this.#channels.push(this.#launcher.launch({ arena: this.arena.handle, id, data: own }, (event) => this.#take(id, event)));
    }
    await this.race(opened);
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

  /** Fails the group, unless it has failed already, and wakes every waiter in every thread. */
  fail(error: MultifdError): void {
    if (this.error !== undefined) return;
    this.error = error;
    this.arena.leave(State.FAILED);
    for (const channel of this.#channels) channel.stop();
    this.#resolveFailure(error);
  }

  /** Lets idle channels end. */
  end(): void {
    if (this.arena.leave(State.ENDING)) for (const channel of this.#channels) channel.stop();
  }

  /** Waits until nothing of any channel is left. Never rejects; look at {@link error}. Call {@link end} or {@link fail} before. */
  async join(): Promise<void> {
    await Promise.all(
      this.#channels.map(async (channel) => {
        const timer = setTimeout(() => channel.kill(), GRACE_MS);
        await channel.gone;
        clearTimeout(timer);
      }),
    );
    // Nobody else touches the arena any more: what a failed channel left in its slot is emptied here, once.
    for (const slot of this.arena.slots) slot.clear();
  }

  #take(id: number, event: ChannelEvent): void {
    if (event.kind === 'failed') this.fail(MultifdError.fromRecord(event.error));
    else if (event.kind === 'value') this.#onValue(id, event.value);
    else if (event.kind === 'open' && ++this.#open === this.arena.channels.length) this.#allOpen?.();
  }
}
