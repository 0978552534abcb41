import { Guest, type LiveMigrationOptions, type LiveStatistics, type Tracking } from 'multifd';
import { Ledger } from './ledger.ts';
import { boot, type HostState, type Machine } from './machine.ts';
import { BLOCK, type Carried, CHANNELS } from './messages.ts';
import { Writer } from './writer.ts';

/** The process that has the database first. */
export class Source {
  readonly ledger: Ledger;
  readonly writer: Writer;
  readonly memory: WebAssembly.Memory;
  readonly #machine: Machine;
  readonly #host: HostState;

  /** @param bytes of accounts. */
  static async open(bytes: number): Promise<Source> {
    return new Source(await boot(), bytes);
  }

  private constructor(machine: Machine, bytes: number) {
    this.#machine = machine;
    this.memory = machine.memory;
    this.ledger = new Ledger(machine);
    this.#host = machine.host();
    this.ledger.fill(bytes);
    this.writer = new Writer((seq) => this.ledger.transact(seq), 0);
  }

  /** Moves the database, with its writer, while that works. After a failure it works on here. */
  migrate(options: LiveMigrationOptions, tracking: Tracking = 'compare'): Promise<LiveStatistics> {
    const { writer } = this;
    const guest = new Guest({
      blocks: [{ id: BLOCK, memory: this.memory, tracking }],
      stop: () => writer.stop(),
      resume: () => writer.start(),
      throttle: (share) => writer.throttle(share),
      check: () => this.#machine.check(),
      deviceState: () => [{ idstr: BLOCK, instanceId: 0, data: this.carry() }],
    });
    return guest.migrate({ channels: CHANNELS, ...options });
  }

  /** What goes with the memory. */
  carry(): Uint8Array {
    return Buffer.from(JSON.stringify({ host: this.#host, accounts: this.ledger.accounts, committed: this.writer.committed } satisfies Carried));
  }
}
