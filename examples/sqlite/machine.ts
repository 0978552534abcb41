import initSqlJs, { type Database, type SqlJsStatic } from 'sql.js';

/**
 * A SQLite in WebAssembly: everything it has lies in its linear memory, but for what {@link
 * HostState} says.
 */
export interface Machine {
  readonly memory: WebAssembly.Memory;
  readonly database: Database;
  /**
   * Makes the memory at least so large, and changes nothing in it: it may be half another machine's
   * already, so that no C code can run over it. By the function that C code asks for more memory,
   * so that all of emscripten's views of it follow.
   */
  grow(bytes: number): void;
  /** Asked once all that JavaScript will ever hold of the database is there: its Statements. */
  host(): HostState;
  /**
   * @throws when JavaScript functions were added to what C code can call (create_function,
   *   updateHook): they can't be moved.
   */
  check(): void;
}

/**
 * What is not in linear memory: JavaScript's Database and Statement objects, which hold addresses,
 * and open files. They can't move, but two machines that were booted by the same calls in the same
 * order have the same ones. This shows whether they were.
 */
export interface HostState {
  /** SHA-256 of the module. */
  build: string;
  /** The address in the Database object. */
  database: number;
  /**
   * Where the allocator puts the next piece: the same only if all pieces before it were the same.
   */
  heap: number;
  /** How many functions C code can call. */
  functions: number;
}

/**
 * Boots SQLite.
 * @param wasm sql.js's module.
 * @throws when it was booted in this process before: sql.js keeps its first module for all later
 *   calls.
 */
export async function boot(wasm: Uint8Array<ArrayBuffer>): Promise<Machine> {
  const restoreLanguage = hideLanguage();
  try {
    return await bootAs(await sha256(wasm), wasm);
  } finally {
    restoreLanguage();
  }
}

async function bootAs(build: string, wasm: Uint8Array<ArrayBuffer>): Promise<Machine> {
  const { sql, memory, table, resizer } = await instantiate(wasm);
  const functions = table.length;
  // As much as there is can't be free: the memory grows.
  sql._free(sql._malloc(memory.buffer.byteLength));
  const resize = resizer();
  const database = new (named(sql))();
  return {
    memory,
    database,
    grow(bytes) {
      if (memory.buffer.byteLength < bytes) resize(bytes);
      if (memory.buffer.byteLength < bytes)
        throw new Error(
          `SQLite's memory would not grow from ${memory.buffer.byteLength} to ${bytes} bytes`,
        );
    },
    host() {
      const heap = sql._malloc(2 ** 20);
      sql._free(heap);
      return { build, database: (database as unknown as { db: number }).db, heap, functions };
    },
    check() {
      if (table.length !== functions)
        throw new Error(
          `${table.length - functions} JavaScript functions were given to SQLite: they can't ` +
            'be moved',
        );
    },
  };
}

/** sql.js, with what emscripten's module object has beside what the types say. */
type Sql = SqlJsStatic & { _malloc(bytes: number): number; _free(address: number): void };

type Imported = (...args: number[]) => unknown;

interface Instantiated {
  sql: Sql;
  memory: WebAssembly.Memory;
  table: WebAssembly.Table;
  /**
   * The function that C code asks for more memory, once it has: its argument is how many bytes
   * there are to be.
   */
  resizer(): Imported;
}

async function instantiate(wasm: Uint8Array<ArrayBuffer>): Promise<Instantiated> {
  let instance: WebAssembly.Instance | undefined;
  let memory: WebAssembly.Memory | undefined;
  let resizer: Imported | undefined;
  /**
   * Names are one letter each, and change from build to build: what makes the memory larger is the
   * one.
   */
  const watched =
    (imported: Imported): Imported =>
    (...args) => {
      if (resizer !== undefined || memory === undefined) return imported(...args);
      const before = memory.buffer.byteLength;
      const result = imported(...args);
      if (memory.buffer.byteLength > before) resizer = imported;
      return result;
    };
  const settings = {
    // The process's own would end up in linear memory, where its length moves what comes after it.
    thisProgram: 'sqlite',
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      void WebAssembly.instantiate(wasm, watchAll(imports, watched)).then((result) => {
        instance = result.instance;
        memory = theOne(instance, WebAssembly.Memory);
        done(instance);
      });
      return {};
    },
  };
  const sql = (await initSqlJs(settings)) as Sql;
  if (instance === undefined || memory === undefined)
    throw new Error(
      'SQLite was booted in this process already: boot another one in a process of its own',
    );
  return {
    sql,
    memory,
    table: theOne(instance, WebAssembly.Table),
    resizer() {
      if (resizer === undefined)
        throw new Error('this build of sql.js does not let its memory grow');
      return resizer;
    },
  };
}

function watchAll(
  imports: WebAssembly.Imports,
  watched: (imported: Imported) => Imported,
): WebAssembly.Imports {
  const modules = Object.entries(imports).map(([module, own]) => {
    const values = Object.entries(own).map(([name, value]) => [
      name,
      typeof value === 'function' ? watched(value as Imported) : value,
    ]);
    return [module, Object.fromEntries(values)];
  });
  return Object.fromEntries(modules) as WebAssembly.Imports;
}

/** The only export of its kind. */
function theOne<Kind>(instance: WebAssembly.Instance, kind: new (...args: never[]) => Kind): Kind {
  const found = Object.values(instance.exports).filter((value) => value instanceof kind);
  if (found.length !== 1)
    throw new Error(`this build of sql.js exports ${found.length} of ${kind.name}, not one`);
  return found[0] as Kind;
}

/** sql.js names the file of `main` at random, and the name is in linear memory too. */
function named({ Database }: Sql): typeof Database {
  return class extends Database {
    get filename(): string {
      return 'main';
    }
    set filename(_: string) {}
  };
}

/**
 * The language would end up in linear memory as well: emscripten makes the environment's LANG of
 * it, and of none where there is no navigator.
 *
 * @returns what undoes it.
 */
function hideLanguage(): () => void {
  const { navigator } = globalThis as { navigator?: Navigator };
  if (navigator === undefined) return () => {};
  Object.defineProperty(navigator, 'language', { value: undefined, configurable: true });
  // The prototype's shows again.
  return () => void Reflect.deleteProperty(navigator, 'language');
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
