import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** sql.js's module, as it is installed here. */
export const MODULE_FILE = createRequire(import.meta.url).resolve('sql.js/dist/sql-wasm.wasm');

export async function readModule(): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(MODULE_FILE));
}
