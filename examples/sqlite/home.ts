import { isDeepStrictEqual } from 'node:util';
import type { DeviceState, IncomingBlock } from 'multifd';
import { type Check, Ledger } from './ledger.ts';
import { boot, type HostState, type Machine } from './machine.ts';
import { BLOCK, type Carried } from './messages.ts';
import { Writer } from './writer.ts';

/** Where the database will be: the same SQLite, booted in the same way, whose memory is replaced by the one that comes. */
export class Home {
  /** There once the database has been started here. */
  writer: Writer | undefined;
  /** There once all of the database has come. */
  carried: Carried | undefined;
  readonly #machine: Machine;
  readonly #ledger: Ledger;
  readonly #host: HostState;

  static async open(): Promise<Home> {
    return new Home(await boot());
  }

  private constructor(machine: Machine) {
    this.#machine = machine;
    this.#ledger = new Ledger(machine);
    this.#host = machine.host();
  }

  /** Where a block's pages go. Asked again when it has grown. */
  room({ id, usedLength }: IncomingBlock): WebAssembly.Memory {
    if (id !== BLOCK) throw new Error(`the source has a block ${JSON.stringify(id)}: this is no database`);
    this.#machine.grow(usedLength);
    return this.#machine.memory;
  }

  keep({ data }: Pick<DeviceState, 'data'>): void {
    this.carried = JSON.parse(Buffer.from(data).toString()) as Carried;
  }

  /** The writer goes on here. @throws when the memory that came can't be used. */
  start(): void {
    const { carried } = this;
    if (carried === undefined || !isDeepStrictEqual(carried.host, this.#host)) {
      throw new Error(`the source's SQLite was not booted as this one was: ${JSON.stringify(carried?.host)}, here ${JSON.stringify(this.#host)}`);
    }
    this.#ledger.accounts = carried.accounts;
    this.writer = new Writer((seq) => this.#ledger.transact(seq), carried.committed);
    this.writer.start();
  }

  verify(): Check[] {
    return this.#ledger.verify(this.writer!.committed);
  }
}
