import type { Random } from '../support/random.ts';

/** A guest of the tests: a memory that is written to between slices, at random places. */
export interface WrittenMemory {
  memory: WebAssembly.Memory;
  /** Writes go on until this is called. */
  stop(): void;
  resume(): void;
  /** How many writes there were. */
  readonly writes: number;
}

/** Writes `perTurn` random words at random places in each turn of the event loop. */
export function writer(memory: WebAssembly.Memory, random: Random, perTurn: number): WrittenMemory {
  let running = true;
  let writes = 0;
  const write = (): void => {
    if (!running) return;
    const bytes = new DataView(memory.buffer);
    for (let i = 0; i < perTurn; i++) {
      const at = random.below(memory.buffer.byteLength / 4) * 4;
      bytes.setUint32(at, random.below(5) === 0 ? 0 : random.below(2 ** 32), true);
      writes++;
    }
    setImmediate(write);
  };
  write();
  return {
    memory,
    stop() {
      running = false;
    },
    resume() {
      running = true;
      write();
    },
    get writes() {
      return writes;
    },
  };
}
