import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import initSqlJs, { type Database } from 'sql.js';

const WASM = createRequire(import.meta.url).resolve('sql.js/dist/sql-wasm.wasm');

/** What emscripten's module object has beside what the types say. */
interface Allocator {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** A SQLite in WebAssembly: everything it has lies in its linear memory, but for what {@link HostState} says. */
export interface Machine {
  readonly memory: WebAssembly.Memory;
  readonly database: Database;
  /** Makes the memory at least so large. By the module's own allocator, so that all of emscripten's views of the memory follow. */
  grow(bytes: number): void;
  /** Asked once all that JavaScript will ever hold of the database is there: its Statements. */
  host(): HostState;
  /** @throws when JavaScript functions were added to what C code can call (create_function, updateHook): they can't be moved. */
  check(): void;
}

/**
 * What is not in linear memory: JavaScript's Database and Statement objects, which hold addresses, and open files. They can't move, but two machines that were
 * booted by the same calls in the same order have the same ones. This shows whether they were.
 */
export interface HostState {
  /** SHA-256 of the module. */
  build: string;
  /** The address in the Database object. */
  database: number;
  /** Where the allocator puts the next piece: the same only if all pieces before it were the same. */
  heap: number;
  /** How many functions C code can call. */
  functions: number;
}

/** Boots SQLite. @throws when it was booted in this process before: sql.js keeps its first module for all later calls. */
export async function boot(): Promise<Machine> {
  const wasm = await readFile(WASM);
  let instance: WebAssembly.Instance | undefined;
  const settings = {
    // The process's own would end up in linear memory, where its length moves what comes after it.
    thisProgram: 'sqlite',
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      void WebAssembly.instantiate(wasm, imports).then((result) => {
        instance = result.instance;
        done(instance);
      });
      return {};
    },
  };
  const sql = await initSqlJs(settings);
  if (instance === undefined) throw new Error('SQLite was booted in this process already: boot another one in a process of its own');
  const memory = theOne(instance, WebAssembly.Memory);
  const table = theOne(instance, WebAssembly.Table);
  const functions = table.length;
  const allocator = sql as unknown as Allocator;

  /** sql.js names the file of `main` at random, and the name is in linear memory too. */
  class NamedDatabase extends sql.Database {
    get filename(): string {
      return 'main';
    }
    set filename(_: string) {}
  }
  const database = new NamedDatabase();
  const build = createHash('sha256').update(wasm).digest('hex');

  return {
    memory,
    database,
    grow(bytes) {
      const pieces: number[] = [];
      // The first pieces may find room that is there already.
      while (memory.buffer.byteLength < bytes) {
        const piece = allocator._malloc(bytes - memory.buffer.byteLength);
        if (piece === 0) break;
        pieces.push(piece);
      }
      pieces.forEach((piece) => allocator._free(piece));
      if (memory.buffer.byteLength < bytes) throw new Error(`SQLite's memory would not grow from ${memory.buffer.byteLength} to ${bytes} bytes`);
    },
    host() {
      const heap = allocator._malloc(2 ** 20);
      allocator._free(heap);
      return { build, database: (database as unknown as { db: number }).db, heap, functions };
    },
    check() {
      if (table.length !== functions) throw new Error(`${table.length - functions} JavaScript functions were given to SQLite: they can't be moved`);
    },
  };
}

/** The only export of its kind: their names are one letter each, and change from build to build. */
function theOne<Kind>(instance: WebAssembly.Instance, kind: new (...args: never[]) => Kind): Kind {
  const found = Object.values(instance.exports).filter((value) => value instanceof kind);
  if (found.length !== 1) throw new Error(`this build of sql.js exports ${found.length} of ${kind.name}, not one`);
  return found[0] as Kind;
}
