import { MultifdError } from '../../errors.ts';

/** A program without a stack of its own between calls: a WebAssembly instance that is only ever called from outside. */
export interface Reactor {
  instance: WebAssembly.Instance;
  /** Its memory, where that is imported or one of several. */
  memory?: WebAssembly.Memory;
  /** Mutable globals and tables that it imports, by any names: the same ones at both ends. */
  imports?: Readonly<Record<string, WebAssembly.Global | WebAssembly.Table>>;
}

/** What a global holds, in a way that keeps every number as it is. */
export type GlobalValue = { type: 'number' | 'bigint'; /** 64 bits, in hex. */ bits: string } | { type: 'null' };

/** What can be seen of a reactor from outside. Two instances with the same description are taken for the same program. */
export interface Description {
  /** `kind name` of each export, sorted. */
  exports: readonly string[];
  /** Lengths of the tables, by name. */
  tables: Readonly<Record<string, number>>;
  shared: boolean;
}

/** A reactor's outside, looked at once: its tables must be what they were then. */
export class ReactorProgram {
  readonly memory: WebAssembly.Memory;
  readonly #globals = new Map<string, WebAssembly.Global>();
  readonly #tables = new Map<string, { table: WebAssembly.Table; entries: readonly unknown[] }>();
  readonly #exports: readonly string[];

  /** @throws MultifdError ERR_OPTION without a memory, or with several to choose from; ERR_GUEST for what can't be moved. */
  constructor({ instance, memory, imports = {} }: Reactor) {
    const exported = Object.entries(instance.exports);
    this.memory = memory ?? onlyMemory(exported);
    this.#exports = exported.map(([name, value]) => `${kindOf(value)} ${name}`).sort();
    for (const [name, value] of [...exported, ...Object.entries(imports).map(([name, value]) => [`import ${name}`, value] as const)]) {
      if (value instanceof WebAssembly.Global && isMutable(name, value)) this.#globals.set(name, value);
      if (value instanceof WebAssembly.Table) this.#tables.set(name, { table: value, entries: entriesOf(value) });
    }
    this.check();
  }

  get description(): Description {
    const tables = Object.fromEntries([...this.#tables].map(([name, { entries }]) => [name, entries.length]));
    return { exports: this.#exports, tables, shared: this.memory.buffer instanceof SharedArrayBuffer };
  }

  /** @throws MultifdError ERR_GUEST when a table has changed, or a global holds a reference. */
  check(): void {
    for (const [name, { table, entries }] of this.#tables) {
      const now = entriesOf(table);
      if (now.length !== entries.length || now.some((entry, i) => entry !== entries[i])) {
        throw new MultifdError('ERR_GUEST', `the table ${JSON.stringify(name)} has changed since the program was described: functions that were added can't be moved`);
      }
    }
    for (const [name, { value }] of this.#globals) {
      if (value !== null && typeof value !== 'number' && typeof value !== 'bigint') {
        throw new MultifdError('ERR_GUEST', `the global ${JSON.stringify(name)} holds a reference, which can't be moved`);
      }
    }
  }

  globals(): Record<string, GlobalValue> {
    return Object.fromEntries([...this.#globals].map(([name, { value }]) => [name, pack(value)]));
  }

  /**
   * Sets all globals, or none.
   * @throws MultifdError ERR_GUEST when they are not those of this program.
   */
  setGlobals(values: ReadonlyMap<string, GlobalValue>): void {
    const set: (() => void)[] = [];
    for (const [name, global] of this.#globals) {
      const value = values.get(name);
      if (value === undefined || value.type !== pack(global.value).type) throw new MultifdError('ERR_GUEST', `the source's global ${JSON.stringify(name)} is not what this program has`);
      set.push(() => (global.value = unpack(value)));
    }
    if (values.size !== set.length) throw new MultifdError('ERR_GUEST', `the source has ${values.size} globals, this program ${set.length}`);
    for (const setOne of set) setOne();
  }
}

function onlyMemory(exported: readonly (readonly [string, unknown])[]): WebAssembly.Memory {
  const memories = exported.flatMap(([, value]) => (value instanceof WebAssembly.Memory ? [value] : []));
  if (memories.length === 1) return memories[0]!;
  throw new MultifdError('ERR_OPTION', `the instance exports ${memories.length} memories: say which one is the program's`);
}

function kindOf(value: unknown): string {
  if (typeof value === 'function') return 'function';
  if (value instanceof WebAssembly.Memory) return 'memory';
  if (value instanceof WebAssembly.Table) return 'table';
  return value instanceof WebAssembly.Global ? 'global' : 'tag';
}

function isMutable(name: string, global: WebAssembly.Global): boolean {
  let value: unknown;
  try {
    value = global.value;
  } catch (cause) {
    // Of v128: no JavaScript can read it.
    throw new MultifdError('ERR_GUEST', `the global ${JSON.stringify(name)} can't be read from JavaScript, so it can't be moved`, { cause });
  }
  try {
    global.value = value;
    return true;
  } catch {
    return false;
  }
}

function entriesOf(table: WebAssembly.Table): unknown[] {
  return Array.from({ length: table.length }, (_, i) => table.get(i) as unknown);
}

function pack(value: unknown): GlobalValue {
  if (value === null) return { type: 'null' };
  const view = new DataView(new ArrayBuffer(8));
  if (typeof value === 'bigint') view.setBigInt64(0, value);
  else view.setFloat64(0, value as number);
  return { type: typeof value as 'number' | 'bigint', bits: view.getBigUint64(0).toString(16).padStart(16, '0') };
}

function unpack(value: GlobalValue): number | bigint | null {
  if (value.type === 'null') return null;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${value.bits}`));
  return value.type === 'bigint' ? view.getBigInt64(0) : view.getFloat64(0);
}
