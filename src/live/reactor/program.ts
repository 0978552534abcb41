import { isSharedBuffer } from '../../util/bytes.ts';
import { givenObject, givenText, refuse } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import {
  bitsOf,
  checkGlobal,
  type GlobalKind,
  type GlobalValue,
  kindOfGlobal,
  readGlobal,
  setGlobals,
} from './globals.ts';
import { KnownTable } from './tables.ts';

/**
 * A program without a stack of its own between calls: a WebAssembly instance that is only ever
 * called from outside.
 */
export interface Reactor {
  /** What moves, or what it moves into. */
  instance: WebAssembly.Instance;
  /** Its memory, where that is imported or one of several. */
  memory?: WebAssembly.Memory;
  /**
   * Its further memories, by their block ids. Each that the instance exports has to be here, or be
   * `memory`.
   */
  memories?: Readonly<Record<string, WebAssembly.Memory>>;
  /** Mutable globals and tables that it imports, by any names: the same ones at both ends. */
  imports?: Readonly<Record<string, WebAssembly.Global | WebAssembly.Table>>;
}

/**
 * What can be seen of a reactor from outside, one line each, sorted: its exports, memories, tables,
 * and constant globals with their values. Two instances with the same description are taken for the
 * same program.
 */
export type Description = readonly string[];

/** A reactor's outside, read once: its tables must stay what they were then. */
export class ReactorProgram {
  /** By block id; the first is the program's own. */
  readonly memories: ReadonlyMap<string, WebAssembly.Memory>;
  readonly description: Description;
  readonly #globals = new Map<string, { global: WebAssembly.Global; kind: GlobalKind }>();
  readonly #tables: readonly KnownTable[];

  /**
   * @param id the block id of its own memory.
   * @throws MultifdError ERR_OPTION without a memory, with one that is not named, or for a name
   *   given twice; ERR_GUEST for what can't be moved.
   */
  constructor(reactor: Reactor, id: string) {
    const {
      instance,
      memory,
      memories = {},
      imports = {},
    } = givenObject('a reactor', reactor, '{ instance }');
    givenText('id', id);
    // Any object with exports is one: hosts wrap their instances.
    givenObject('instance', instance, 'a WebAssembly.Instance');
    givenObject('the exports of the instance', instance.exports, 'an object');
    givenObject('memories', memories, 'an object with a WebAssembly.Memory for each name');
    for (const one of [...Object.values(memories), ...(memory === undefined ? [] : [memory])]) {
      if (!(one instanceof WebAssembly.Memory)) refuse('a memory', one, 'a WebAssembly.Memory');
    }
    givenObject('imports', imports, 'an object with what is imported');
    const exported = Object.entries(instance.exports);
    this.memories = nameMemories(exported, memory, id, memories);
    const lines = exported.map(([name, value]) => `${kindOf(value)} ${name}`);
    for (const [name, { buffer }] of this.memories)
      lines.push(`memory of block ${name}: ${isSharedBuffer(buffer) ? 'shared' : 'not shared'}`);

    const tables = new Map<string, KnownTable>();
    for (const [name, value] of [
      ...exported,
      ...Object.entries(imports).map(([name, value]) => [`import ${name}`, value] as const),
    ]) {
      if (this.#globals.has(name) || tables.has(name))
        throw new MultifdError(
          'ERR_OPTION',
          `an import and an export are both called ${JSON.stringify(name)}: give the import ` +
            'another name',
        );
      if (value instanceof WebAssembly.Table) tables.set(name, new KnownTable(name, value));
      if (!(value instanceof WebAssembly.Global)) continue;
      const kind = kindOfGlobal(name, value);
      if (kind !== 'constant') this.#globals.set(name, { global: value, kind });
      else if (typeof value.value === 'number' || typeof value.value === 'bigint')
        lines.push(`constant ${name}: ${typeof value.value} ${bitsOf(value.value)}`);
    }
    for (const [name, table] of tables) lines.push(`table ${name}: ${table.describe()}`);
    this.#tables = [...tables.values()];
    this.description = lines.sort();
    this.check();
  }

  /** @throws MultifdError ERR_GUEST when a table has changed, or a global holds a reference. */
  check(): void {
    for (const table of this.#tables) table.check();
    for (const [name, { global, kind }] of this.#globals) checkGlobal(name, global, kind);
  }

  /**
   * Those that may change, and what they hold.
   * @throws MultifdError ERR_GUEST as `check` does.
   */
  globals(): Map<string, GlobalValue> {
    this.check();
    return new Map([...this.#globals].map(([name, { global }]) => [name, readGlobal(global)]));
  }

  /**
   * Sets all globals, or none.
   * @throws MultifdError ERR_GUEST when they are not those of this program.
   */
  setGlobals(values: ReadonlyMap<string, GlobalValue>): void {
    setGlobals(new Map([...this.#globals].map(([name, { global }]) => [name, global])), values);
  }

  /**
   * @throws MultifdError ERR_GUEST when the source's program, as it describes it, is another one.
   */
  compare(source: Description): void {
    const there = new Set(source);
    const here = new Set(this.description);
    const more = source.find((line) => !here.has(line));
    const less = this.description.find((line) => !there.has(line));
    const differences = [
      ...(more === undefined ? [] : [`there is ${quote(more)}`]),
      ...(less === undefined ? [] : [`here is ${quote(less)}`]),
    ];
    if (differences.length > 0)
      throw new MultifdError(
        'ERR_GUEST',
        `the source runs another program: ${differences.join(', ')}. Make both instances of ` +
          'the same module, and in the same way',
      );
  }
}

/** All of a program's memories by block id: what is not named would be left behind. */
function nameMemories(
  exported: readonly (readonly [string, unknown])[],
  memory: WebAssembly.Memory | undefined,
  id: string,
  further: Readonly<Record<string, WebAssembly.Memory>>,
): Map<string, WebAssembly.Memory> {
  const named = new Set(Object.values(further));
  const rest = exported.filter(
    (entry): entry is [string, WebAssembly.Memory] =>
      entry[1] instanceof WebAssembly.Memory && entry[1] !== memory && !named.has(entry[1]),
  );
  const own = memory ?? (rest.length === 1 ? rest.pop()![1] : undefined);
  if (rest.length > 0)
    throw new MultifdError(
      'ERR_OPTION',
      'the instance exports the memories ' +
        `${rest.map(([name]) => JSON.stringify(name)).join(', ')}: say which one is the ` +
        `program's own, as memory, and name the others in memories`,
    );
  if (own === undefined)
    throw new MultifdError(
      'ERR_OPTION',
      'the instance exports no memory: give the one that it imports',
    );
  const all = new Map([[id, own], ...Object.entries(further)]);
  if (new Set(all.values()).size !== 1 + Object.keys(further).length)
    throw new MultifdError('ERR_OPTION', 'a memory, or a block id, is given twice');
  return all;
}

function kindOf(value: unknown): string {
  if (typeof value === 'function') return 'function';
  if (value instanceof WebAssembly.Memory) return 'memory';
  if (value instanceof WebAssembly.Table) return 'table';
  return value instanceof WebAssembly.Global ? 'global' : 'tag';
}

/** A line that may have come over a wire. */
function quote(line: string): string {
  return JSON.stringify(line.length > 200 ? `${line.slice(0, 200)}...` : line);
}
