import { Store } from './store.ts';

export const CHANNELS = 2;
const NAMES = 100_000;
const AT_A_TIME = 500;

/**
 * 16 MiB that threads can share: the migration looks for changes, and sends, in threads of its own.
 */
export function createMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 256, maximum: 256, shared: true });
}

/**
 * Counts visitors up, one after the other, for as long as it runs. How many there were is in the
 * store too: the sum of all others, if none is lost.
 */
export class Visits {
  readonly store: Store;
  #turn: ReturnType<typeof setImmediate> | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.store = new Store(memory);
  }

  get total(): number {
    return this.store.get('total') ?? 0;
  }

  /** Whether each visit that was counted is there. */
  get complete(): boolean {
    return this.store.sum() === 2 * this.total;
  }

  start(): void {
    this.#turn = setImmediate(() => {
      for (let visit = 0; visit < AT_A_TIME; visit++)
        this.#count(`visitor ${Math.floor(Math.random() * NAMES)}`);
      this.start();
    });
  }

  stop(): void {
    clearImmediate(this.#turn);
  }

  #count(name: string): void {
    this.store.set(name, (this.store.get(name) ?? 0) + 1);
    this.store.set('total', this.total + 1);
  }
}
