import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The path of a runtime of test/peers/runtimes, which has a package.json of its own: nobody but tests
 * needs them.
 */
export function runtime(name: 'bun' | 'deno' | 'workerd'): string {
  const path = fileURLToPath(new URL(`../runtimes/node_modules/.bin/${name}`, import.meta.url));
  if (existsSync(path)) return path;
  throw new Error(`there is no ${name}: run npm ci in test/peers/runtimes`);
}
