import { integer, inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { Arena, type ArenaHandle } from './arena.ts';
import { EngineWord } from './layout.ts';
import { NONE, type Slot } from './slot.ts';

/**
 * What a thread needs to be a client. Structured-cloneable: post it to the thread and call {@link
 * Client.attach} there.
 */
export interface ClientHandle {
  arena: ArenaHandle;
  index: number;
}

/**
 * Where a client is used, which decides how it may wait: the owner's thread has to hear of channels
 * that die, and runs them if they are inline.
 */
export type ClientPlace = 'elsewhere' | 'owner' | 'owner of inline channels';

/**
 * How long {@link Client.sendAsync} blocks before it goes to the event loop: a channel that is
 * about to be free is met at a tenth of the cost.
 */
const BRIEFLY_MS = 0.2;

/**
 * One client of an engine: something that has payloads to send. It owns one slot at any time: it
 * fills {@link slot}, gives it a type, and calls {@link send}; the slot goes to a channel, and the
 * channel's empty one comes back. Offsets change hands; no payload is copied.
 *
 * One thread uses a client; different clients may live in different threads.
 */
export class Client {
  readonly #arena: Arena;
  readonly #index: number;
  readonly #place: ClientPlace;

  private constructor(arena: Arena, index: number, place: ClientPlace) {
    this.#arena = arena;
    this.#index = index;
    this.#place = place;
  }

  /**
   * The client of a handle, for a thread that is not the owner's.
   * @throws MultifdError ERR_OPTION for what is no handle.
   */
  static attach(handle: ClientHandle): Client {
    try {
      const arena = new Arena(handle.arena);
      return new Client(
        arena,
        integer('client', handle.index, 0, handle.arena.geometry.clients - 1),
        'elsewhere',
      );
    } catch (cause) {
      throw new MultifdError('ERR_OPTION', `no handle of a client: ${inWords(handle)}`, { cause });
    }
  }

  /** @internal */
  static of(arena: Arena, index: number, place: ClientPlace): Client {
    return new Client(arena, index, place);
  }

  /** To be posted to the thread that is to use it. */
  get handle(): ClientHandle {
    return { arena: this.#arena.handle, index: this.#index };
  }

  /** The slot this client owns now. Ask again after each send: it is another one then. */
  get slot(): Slot {
    return this.#arena.clientSlot(this.#index);
  }

  /**
   * Hands the slot to a channel, blocking this thread until one is free.
   * @returns false when the engine is ending or has failed; the slot, and what is in it, is still
   *   this client's then.
   * @throws MultifdError ERR_ENGINE when the slot is empty, or in the owner's thread: it would
   *   not hear that the channel it waits for has died.
   */
  send(): boolean {
    if (this.#place !== 'elsewhere')
      throw new MultifdError(
        'ERR_ENGINE',
        "send() would block the engine's own thread: use sendAsync(), or attach the client's " +
          'handle in another thread',
      );
    const { sendLock, channelsReady, running } = this.#arena;
    if (!sendLock.lock(running)) return false;
    try {
      this.#demandPayload();
      if (!channelsReady.wait(running)) return false;
      this.#swap();
      return true;
    } finally {
      sendLock.unlock();
    }
  }

  /**
   * As {@link send}, for a thread with an event loop. It may be called again only after it has
   * resolved.
   * @param briefly whether it may block for a fifth of a millisecond before it goes to the event
   *   loop.
   */
  async sendAsync(briefly = true): Promise<boolean> {
    const { sendLock, channelsReady, running } = this.#arena;
    if (!(await sendLock.lockAsync(running))) return false;
    try {
      this.#demandPayload();
      if (
        !(briefly ? this.#waitBriefly() : channelsReady.tryWait(running)) &&
        !(await channelsReady.waitAsync(running))
      )
        return false;
      this.#swap();
      return true;
    } finally {
      sendLock.unlock();
    }
  }

  #waitBriefly(): boolean {
    const { channelsReady, running } = this.#arena;
    // Inline channels would not get any further meanwhile.
    if (this.#place === 'owner of inline channels') return channelsReady.tryWait(running);
    try {
      return channelsReady.waitFor(running, BRIEFLY_MS);
    } catch {
      // a thread that may not block at all, such as a browser's main thread
      return channelsReady.tryWait(running);
    }
  }

  #demandPayload(): void {
    if (this.slot.type === NONE)
      throw new MultifdError(
        'ERR_ENGINE',
        `client ${this.#index} sent an empty slot: give it a type first`,
      );
  }

  /**
   * Swaps this client's slot with that of the next idle channel. Under the send lock, with one
   * count of CHANNELS_READY taken.
   */
  #swap(): void {
    const arena = this.#arena;
    const count = arena.channels.length;
    let id = arena.words[EngineWord.NEXT_CHANNEL]! % count;
    // A count taken means that at least one channel is idle; the acquiring load pairs with the
    // channel's release of its job.
    for (let tried = 0; arena.isSet(id, 'PENDING_JOB'); tried++) {
      if (tried === count)
        throw new MultifdError('ERR_ENGINE', 'channels_ready counted a channel that has a job');
      id = (id + 1) % count;
    }
    arena.words[EngineWord.NEXT_CHANNEL] = (id + 1) % count;
    const empty = arena.channelSlot(id);
    if (empty.type !== NONE)
      throw new MultifdError('ERR_ENGINE', `an idle channel's slot is of type ${empty.type}`, {
        channel: id,
      });
    arena.setChannelSlot(id, this.slot);
    arena.setClientSlot(this.#index, empty);
    arena.set(id, 'PENDING_JOB', true); // publishes the slot and its payload to the channel
    arena.channels[id]!.sem.post();
  }
}
