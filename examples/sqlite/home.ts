import {
  type DeviceState,
  Guest,
  type IncomingBlock,
  type IncomingMigration,
  type IncomingOptions,
  type LiveMigrationOptions,
  type LiveStatistics,
  receive,
  type Tracking,
} from 'multifd';
import { type Check, Ledger } from './ledger.ts';
import { boot, type HostState, type Machine } from './machine.ts';
import { BLOCK, type Carried, CHANNELS } from './messages.ts';
import { type Answer, ask } from './query.ts';
import { Writer } from './writer.ts';

/**
 * Where the database can be: SQLite, booted in the same way everywhere, so that its memory can be
 * replaced by the one that comes.
 */
export class Home {
  readonly ledger: Ledger;
  readonly memory: WebAssembly.Memory;
  /** There while the database is, from when it has been started here. */
  writer: Writer | undefined;
  /** There once all of the database has come. */
  carried: Carried | undefined;
  readonly #machine: Machine;
  readonly #host: HostState;

  /** @param wasm sql.js's module. */
  static async open(wasm: Uint8Array<ArrayBuffer>): Promise<Home> {
    return new Home(await boot(wasm));
  }

  private constructor(machine: Machine) {
    this.#machine = machine;
    this.memory = machine.memory;
    this.ledger = new Ledger(machine);
    this.#host = machine.host();
  }

  /** Makes the database here. @param bytes of accounts. @returns its writer, not started yet. */
  found(bytes: number): Writer {
    this.ledger.fill(bytes);
    this.writer = new Writer((seq) => this.ledger.transact(seq), 0);
    return this.writer;
  }

  /** Moves the database, with its writer, while that works. After a failure it works on here. */
  async migrate(
    options: LiveMigrationOptions,
    tracking: Tracking = 'compare',
  ): Promise<LiveStatistics> {
    const writer = this.#present();
    const guest = new Guest({
      blocks: [{ id: BLOCK, memory: this.memory, tracking }],
      stop: () => writer.stop(),
      resume: () => writer.start(),
      throttle: (share) => writer.throttle(share),
      check: () => this.#machine.check(),
      deviceState: () => [{ idstr: BLOCK, instanceId: 0, data: this.carry() }],
    });
    const statistics = await guest.migrate({ channels: CHANNELS, ...options });
    this.writer = undefined;
    return statistics;
  }

  /** What goes with the memory. */
  carry(): Uint8Array {
    const { committed, lastCommit } = this.#present();
    return new TextEncoder().encode(
      JSON.stringify({
        host: this.#host,
        accounts: this.ledger.accounts,
        committed,
        lastCommit,
      } satisfies Carried),
    );
  }

  /** Takes the database in, and lets the writer go on. */
  receive(
    options: Omit<IncomingOptions, 'blocks' | 'image' | 'onDeviceState' | 'start'>,
  ): Promise<IncomingMigration> {
    return receive({
      channels: CHANNELS,
      ...options,
      blocks: (block) => this.room(block),
      onDeviceState: (state) => this.keep(state),
      start: () => this.start(),
    });
  }

  /** Where a block's pages go. Asked again when it has grown. */
  room({ id, usedLength }: Pick<IncomingBlock, 'id' | 'usedLength'>): WebAssembly.Memory {
    if (id !== BLOCK)
      throw new Error(`the source has a block ${JSON.stringify(id)}: this is no database`);
    this.#machine.grow(usedLength);
    return this.memory;
  }

  keep({ data }: Pick<DeviceState, 'data'>): void {
    this.carried = JSON.parse(new TextDecoder().decode(data)) as Carried;
  }

  /** The writer goes on here. @throws when the memory that came can't be used. */
  start(): void {
    const { carried } = this;
    const names = Object.keys(this.#host) as (keyof HostState)[];
    if (carried === undefined || !names.every((name) => carried.host[name] === this.#host[name])) {
      throw new Error(
        `the source's SQLite was not booted as this one was: ` +
          `${JSON.stringify(carried?.host)}, here ${JSON.stringify(this.#host)}`,
      );
    }
    this.ledger.accounts = carried.accounts;
    this.writer = new Writer((seq) => this.ledger.transact(seq), carried.committed);
    this.writer.start();
  }

  verify(): Check[] {
    return this.ledger.verify(this.#present().committed);
  }

  /** Answers a question while the writer waits. @throws when it is none, or the wrong one. */
  ask(sql: string): Answer {
    this.#present();
    return ask(this.#machine.database, sql);
  }

  #present(): Writer {
    if (this.writer === undefined) throw new Error('the database is not here');
    return this.writer;
  }
}
