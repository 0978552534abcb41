import { createHash } from 'node:crypto';
import type { IncomingBlock, Tracking } from 'multifd';
import { Home } from '../../examples/sqlite/home.ts';
import { readModule } from '../../examples/sqlite/module-file.ts';
import { Writer } from '../../examples/sqlite/writer.ts';
import type { Measure, Method } from './measure.ts';
import { Synthetic } from './synthetic.ts';

/** A program that is to be moved. */
export interface Leaving {
  memory: WebAssembly.Memory;
  writer: Writer;
  tracking(method: Method): Tracking;
  /** Its state that is no RAM. */
  carry(): Uint8Array;
  /** Of its memory, once it has gone. */
  digest(): string;
}

/** Where it goes to. */
export interface AcceptQueue {
  room(block: IncomingBlock): WebAssembly.Memory;
  keep(state: { data: Uint8Array }): void;
  start(): void;
  /** There once it has been started. */
  readonly writer: Writer | undefined;
  digest(): string;
  /** What is wrong with what came. */
  problems(): string[];
}

export async function openLeaving({ guest, mib, rate }: Measure): Promise<Leaving> {
  if (guest === 'synthetic') {
    const synthetic = new Synthetic(mib, rate);
    const { memory, writer } = synthetic;
    return {
      memory,
      writer,
      tracking: (method) => (method === 'bitmap' ? synthetic : known(method)),
      carry: () => Buffer.from('{}'),
      digest: () => digest(memory),
    };
  }
  const source = await Home.open(await readModule());
  const writer = source.found(mib * 2 ** 20);
  return {
    memory: source.memory,
    writer,
    tracking: known,
    carry: () => source.carry(),
    digest: () => '',
  };
}

export async function openArriving({ guest, mib }: Measure): Promise<AcceptQueue> {
  if (guest === 'synthetic') return new EmptyMemory(mib);
  const home = await Home.open(await readModule());
  return {
    room: (block) => home.room(block),
    keep: (state) => home.keep(state),
    start: () => home.start(),
    get writer() {
      return home.writer;
    },
    // The database's checks say more.
    digest: () => '',
    problems: () =>
      home
        .verify()
        .filter(({ expected, found }) => expected !== found)
        .map(({ name, expected, found }) => `${name}: ${found}, not ${expected}`),
  };
}

class EmptyMemory implements AcceptQueue {
  writer: Writer | undefined;
  readonly #memory: WebAssembly.Memory;

  constructor(mib: number) {
    this.#memory = new WebAssembly.Memory({ initial: mib * 16 });
  }

  room(): WebAssembly.Memory {
    return this.#memory;
  }

  keep(): void {}

  /** Its turns change nothing here, so that what came can be looked at. */
  start(): void {
    this.writer = new Writer(() => {}, 0);
    this.writer.start();
  }

  digest(): string {
    return digest(this.#memory);
  }

  problems(): string[] {
    return [];
  }
}

function digest(memory: WebAssembly.Memory): string {
  return createHash('sha256').update(new Uint8Array(memory.buffer)).digest('hex');
}

function known(method: Method): Tracking {
  if (method === 'compare' || method === 'hash') return method;
  throw new Error(`nobody knows this guest's changes by ${method}`);
}
