import { bytesOf, numbers } from './memory.ts';

/** Writes of one turn. */
const WRITES = 50;

/** A program that changes its memory: a few bytes in each turn of the event loop. */
export class Writer {
  writes = 0;
  running = false;
  readonly #memory: WebAssembly.Memory;
  readonly #next = numbers(9);

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
  }

  readonly start = (): void => {
    this.running = true;
    const turn = (): void => {
      if (!this.running) return;
      const bytes = bytesOf(this.#memory);
      for (let n = 0; n < WRITES; n++) bytes[this.#next() % bytes.length] = this.#next() & 255;
      this.writes += WRITES;
      setTimeout(turn);
    };
    turn();
  };

  readonly stop = (): void => {
    this.running = false;
  };
}
