import { Random } from '../../support/random.ts';
import { bytesOf } from './memory.ts';

/** Writes of one turn. */
const WRITES = 50;

/** A program that changes its memory: a few bytes in each turn of the event loop. */
export class Writer {
  running = false;
  readonly #memory: WebAssembly.Memory;
  readonly #random = new Random(9);

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
  }

  readonly start = (): void => {
    this.running = true;
    const turn = (): void => {
      if (!this.running) return;
      this.write();
      setTimeout(turn);
    };
    turn();
  };

  /** A turn of it. */
  readonly write = (): void => {
    const bytes = bytesOf(this.#memory);
    for (let n = 0; n < WRITES; n++) bytes[this.#random.below(bytes.length)] = this.#random.word();
  };

  readonly stop = (): void => {
    this.running = false;
  };
}
