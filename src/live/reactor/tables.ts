import { sha256 } from '../../util/digest.ts';
import { MultifdError } from '../../util/errors.ts';

/** A table as it was when it was first read, and has to stay. */
export class KnownTable {
  readonly #name: string;
  readonly #table: WebAssembly.Table;
  readonly #entries: readonly unknown[];

  /** @throws MultifdError ERR_GUEST when JavaScript can't read it. */
  constructor(name: string, table: WebAssembly.Table) {
    this.#name = name;
    this.#table = table;
    try {
      this.#entries = Array.from({ length: lengthOf(table) }, (_, i) => entryOf(table, i));
    } catch (cause) {
      throw new MultifdError(
        'ERR_GUEST',
        `the table ${JSON.stringify(name)} can't be read from JavaScript, so it can't be ` +
          'known whether it changes',
        { cause },
      );
    }
  }

  /** @throws MultifdError ERR_GUEST when it has other entries than at first. */
  check(): void {
    const same =
      lengthOf(this.#table) === this.#entries.length &&
      this.#entries.every((entry, i) => Object.is(entryOf(this.#table, i), entry));
    if (!same)
      throw new MultifdError(
        'ERR_GUEST',
        `the table ${JSON.stringify(this.#name)} has changed since the program was ` +
          `described: functions that were added can't be moved`,
      );
  }

  /**
   * Its length, and a digest of which function of the module is where: those have their number for
   * a name.
   */
  describe(): string {
    const lines = this.#entries.map((entry) =>
      typeof entry === 'function'
        ? `${entry.name}\n`
        : `(${entry === null ? 'null' : typeof entry})\n`,
    );
    return `${lines.length} entries, ${sha256(lines.join('')).slice(0, 32)}`;
  }
}

/** Of a table with 64-bit indices it is a bigint, which the types don't know yet. */
function lengthOf(table: WebAssembly.Table): number {
  return Number(table.length);
}

function entryOf(table: WebAssembly.Table, index: number): unknown {
  return table.get((typeof table.length === 'bigint' ? BigInt(index) : index) as number);
}
