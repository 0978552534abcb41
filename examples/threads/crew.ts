import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

export const THREADS = 3;
export const CHANNELS = 2;

const PAGE = 4096;
/** Words of the guest's memory: see guest.ts. */
const REST = 0;
const RESTING = 1;
const PAUSE = 2;
/** Microseconds that a thread pauses for after each few pages. */
const USUAL_PAUSE = 1000;

/** What a thread of the guest is given. */
export interface Shift {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  thread: number;
  /** Its pages: the first, how many from one to the next, and where they end. */
  pages: [first: number, step: number, end: number];
}

/** What can be seen of threads that rest. */
export interface CrewState {
  /** Which pass each of them is in. */
  passes: number[];
  /** How many pages have a count that can't be. */
  wrong: number;
}

interface GuestExports {
  wrong(thread: number, first: number, step: number, end: number): number;
  passOf(thread: number): number;
}

/** A guest's memory and its threads. */
export class Crew {
  readonly memory: WebAssembly.Memory;
  readonly #module: WebAssembly.Module;
  readonly #worker: URL;
  readonly #guest: GuestExports;
  readonly #words: Int32Array<SharedArrayBuffer>;
  #workers: Worker[] = [];
  #rest: Promise<void> | undefined;

  /** @param folder where the guest's code and its threads' program are. */
  static async hire(mebibytes: number, folder: URL): Promise<Crew> {
    return new Crew(
      await WebAssembly.compile(await readFile(new URL('threads.wasm', folder))),
      new URL('threads-worker.js', folder),
      mebibytes,
    );
  }

  private constructor(module: WebAssembly.Module, worker: URL, mebibytes: number) {
    this.memory = new WebAssembly.Memory({ initial: mebibytes * 16, maximum: 65536, shared: true });
    this.#module = module;
    this.#worker = worker;
    this.#guest = new WebAssembly.Instance(module, { env: { memory: this.memory } })
      .exports as unknown as GuestExports;
    this.#words = new Int32Array(this.memory.buffer as ArrayBufferLike as SharedArrayBuffer);
  }

  /** Lets the threads work, from where they were. */
  start(): void {
    this.#rest = undefined;
    this.#words[RESTING] = 0;
    this.throttle(0);
    Atomics.store(this.#words, REST, 0);
    this.#workers = Array.from({ length: THREADS }, (_, thread) => {
      const shift: Shift = {
        module: this.#module,
        memory: this.memory,
        thread,
        pages: this.#pagesOf(thread),
      };
      return new Worker(this.#worker, { workerData: shift });
    });
  }

  /** Resolves when every thread has been through all its pages since. */
  async onceAround(): Promise<void> {
    const before = this.passes;
    // In the next pass but one: this one, or the first, has begun already.
    while (this.passes.some((pass, thread) => pass < before[thread]! + 2)) await sleep(10);
  }

  /** Resolves when every thread rests: from then on nobody writes. */
  rest(): Promise<void> {
    return (this.#rest ??= this.#untilAllRest());
  }

  /**
   * Lets threads that were asked to rest go on. First they all have to: one that is ended at its
   * work leaves a page counted and its place not.
   */
  async resume(): Promise<void> {
    await this.rest();
    await this.leave();
    this.start();
  }

  /** Lets the threads work for 1 - share of their usual time. */
  throttle(share: number): void {
    Atomics.store(this.#words, PAUSE, USUAL_PAUSE / (1 - share));
  }

  /** Ends the threads' workers. */
  async leave(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }

  /** Which pass each thread is in. */
  get passes(): number[] {
    return Array.from({ length: THREADS }, (_, thread) => this.#guest.passOf(thread));
  }

  /** Of threads that rest. */
  get state(): CrewState {
    const wrong = Array.from({ length: THREADS }, (_, thread) =>
      this.#guest.wrong(thread, ...this.#pagesOf(thread)),
    );
    return { passes: this.passes, wrong: wrong.reduce((sum, pages) => sum + pages, 0) };
  }

  async #untilAllRest(): Promise<void> {
    Atomics.store(this.#words, REST, 1);
    Atomics.notify(this.#words, REST);
    for (;;) {
      const resting = Atomics.load(this.#words, RESTING);
      if (resting === THREADS) return;
      await Atomics.waitAsync(this.#words, RESTING, resting).value;
    }
  }

  #pagesOf(thread: number): [first: number, step: number, end: number] {
    return [1 + thread, THREADS, this.memory.buffer.byteLength / PAGE];
  }
}
