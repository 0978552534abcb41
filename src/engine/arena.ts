import { hasThreads } from '#threads';
import { isSharedBuffer } from '../util/bytes.ts';
import { inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import {
  ChannelWord,
  ClientWord,
  COUNTERS,
  COUNTERS_OFFSET,
  EngineWord,
  type Geometry,
  type Layout,
  layOut,
  State,
} from './layout.ts';
import { Mutex, Semaphore, type Words, PromiseWaiters } from './semaphore.ts';
import { Slot } from './slot.ts';

/**
 * What another thread needs to see the same arena. Structured-cloneable where the memory is shared.
 */
export interface ArenaHandle {
  memory: WebAssembly.Memory;
  geometry: Geometry;
  /**
   * Who waits, where all who do are tasks of one thread.
   * @internal
   */
  waiters?: PromiseWaiters;
}

/** The words of a channel that are 0 or 1. */
type Flag = 'PENDING_JOB' | 'PENDING_SYNC' | 'ENDED';

/** One channel's words, as one thread has them. */
export interface ChannelWords {
  /** @internal */
  readonly sem: Semaphore;
  /** @internal */
  readonly semSync: Semaphore;
  /**
   * Eight values: 0 packets, 1 bytes; 2 and on are the program's. Only the channel writes them; a
   * reader in another thread gets a recent value, and the last one once the channel has been
   * joined.
   */
  readonly counters: Float64Array;
}

/**
 * A view of the one shared memory of an engine. Each thread makes its own over the same memory;
 * none of them owns it. The owner creates it and hands `handle` to the others.
 */
export class Arena {
  /** To be posted to another thread. */
  readonly handle: ArenaHandle;
  /** Where everything is in it. */
  readonly layout: Layout;
  /** All of its memory. */
  readonly buffer: ArrayBufferLike;
  /** @internal */
  readonly words: Words;
  /** @internal */
  readonly channelsReady: Semaphore;
  /** @internal */
  readonly sendLock: Mutex;
  /** By channel. */
  readonly channels: readonly ChannelWords[];
  /** All slots, by their place; whose they are changes. */
  readonly slots: readonly Slot[];

  constructor(handle: ArenaHandle) {
    const { memory, geometry, waiters } = handle;
    const layout = layOut(geometry);
    // The arena is never grown, so the buffer stays.
    const buffer: ArrayBufferLike = memory.buffer;
    const words = new Int32Array(buffer);
    this.handle = handle;
    this.layout = layout;
    this.buffer = buffer;
    this.words = words;
    this.channelsReady = new Semaphore(words, EngineWord.CHANNELS_READY, waiters);
    this.sendLock = new Mutex(words, EngineWord.SEND_LOCK, waiters);
    this.channels = Array.from({ length: geometry.channels }, (_, id) => ({
      sem: new Semaphore(words, layout.channel(id) / 4 + ChannelWord.SEM, waiters),
      semSync: new Semaphore(words, layout.channel(id) / 4 + ChannelWord.SEM_SYNC, waiters),
      counters: new Float64Array(buffer, layout.channel(id) + COUNTERS_OFFSET, COUNTERS),
    }));
    this.slots = Array.from(
      { length: layout.slotCount },
      (_, n) => new Slot(buffer, layout.slots + n * layout.slotBytes, layout.slotBytes),
    );
  }

  /**
   * A new arena in which channel i owns slot i and client j owns slot channels + j, all empty.
   * @param shared whether other threads are to see it.
   * @throws MultifdError ERR_OPTION when the geometry does not fit a 32-bit memory, or has sizes
   *   that are none.
   */
  static create(geometry: Geometry, shared = true): Arena {
    for (const [name, size] of Object.entries(geometry)) {
      if (!Number.isInteger(size) || size < 0)
        throw new MultifdError(
          'ERR_OPTION',
          `an arena with ${name} ${inWords(size)}: give a whole number`,
        );
    }
    let pages: number;
    try {
      pages = layOut(geometry).wasmPages;
    } catch (cause) {
      throw MultifdError.from(cause, 'ERR_OPTION');
    }
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    // Where no other thread can be, promises do for shared memory as well; in workerd those of
    // Atomics.waitAsync settle outside of every request, which never sees them.
    const alone = !shared || !hasThreads();
    const arena = new Arena({ memory, geometry, ...(alone && { waiters: new PromiseWaiters() }) });
    for (let id = 0; id < geometry.channels; id++) arena.setChannelSlot(id, arena.slots[id]!);
    for (let n = 0; n < geometry.clients; n++)
      arena.setClientSlot(n, arena.slots[geometry.channels + n]!);
    return arena;
  }

  /** Whether other threads can see it. */
  get shared(): boolean {
    return isSharedBuffer(this.buffer);
  }

  /** @internal */
  get state(): number {
    return Atomics.load(this.words, EngineWord.STATE);
  }

  /** False once it is ending or has failed. */
  readonly running = (): boolean => this.state === State.RUNNING;
  /** True until a failure: what a channel that is asked to end may still finish. */
  readonly unfailed = (): boolean => this.state !== State.FAILED;

  /** Byte offset of the 64-bit counter over all channels. */
  get counterOffset(): number {
    return EngineWord.COUNTER * 4;
  }

  /** The slot that a channel owns now. */
  channelSlot(id: number): Slot {
    return this.#slotOf(this.#channelWord(id, ChannelWord.SLOT));
  }

  /** @internal */
  setChannelSlot(id: number, slot: Slot): void {
    this.words[this.#channelWord(id, ChannelWord.SLOT)] = slot.offset;
  }

  /** The slot that a client owns now. */
  clientSlot(index: number): Slot {
    return this.#slotOf(this.#clientWord(index));
  }

  /** @internal */
  setClientSlot(index: number, slot: Slot): void {
    this.words[this.#clientWord(index)] = slot.offset;
  }

  /** @internal */
  isSet(id: number, word: Flag): boolean {
    return Atomics.load(this.words, this.#channelWord(id, ChannelWord[word])) !== 0;
  }

  /**
   * PENDING_... on: publishes the slot, or the wish to sync, to the channel. Off: publishes the
   * channel's work, and its empty slot, to the next client.
   * @internal
   */
  set(id: number, word: Flag, on: boolean): void {
    Atomics.store(this.words, this.#channelWord(id, ChannelWord[word]), on ? 1 : 0);
  }

  /**
   * Moves the state on and wakes every waiter in every thread. Only the first failure counts, and
   * nothing follows it.
   * @returns whether this call was the one that moved it.
   * @internal
   */
  enter(to: typeof State.ENDING | typeof State.FAILED): boolean {
    for (;;) {
      const state = this.state;
      if (state >= to) return false;
      if (Atomics.compareExchange(this.words, EngineWord.STATE, state, to) !== state) continue;
      if (this.shared)
        Atomics.notify(this.words as Int32Array<SharedArrayBuffer>, EngineWord.STATE);
      this.sendLock.wakeAll();
      this.channelsReady.releaseAll();
      for (const { sem, semSync } of this.channels) {
        sem.releaseAll();
        semSync.releaseAll();
      }
      return true;
    }
  }

  /**
   * Sleeps at most `milliseconds`, less when the state changes meanwhile. Blocks: for worker
   * threads.
   */
  sleepWhileRunning(milliseconds: number): void {
    Atomics.wait(
      this.words as Int32Array<SharedArrayBuffer>,
      EngineWord.STATE,
      State.RUNNING,
      milliseconds,
    );
  }

  /** The slot whose offset a word holds. */
  #slotOf(word: number): Slot {
    const offset = this.words[word]! >>> 0; // an offset of 2 GiB or more reads as negative
    return this.slots[(offset - this.layout.slots) / this.layout.slotBytes]!;
  }

  #channelWord(id: number, word: number): number {
    return this.layout.channel(id) / 4 + word;
  }

  #clientWord(index: number): number {
    return this.layout.client(index) / 4 + ClientWord.SLOT;
  }
}
