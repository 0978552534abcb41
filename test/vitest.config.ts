import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const built = (path: string): string => fileURLToPath(new URL(`../build/${path}`, import.meta.url));

/** The tests use the package as it is published: the built files, by the names of its exports. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  resolve: {
    alias: [
      { find: /^multifd$/, replacement: built('index.js') },
      { find: /^multifd\/(core|engine)$/, replacement: built('$1.js') },
    ],
  },
  test: {
    include: ['**/*.test.ts'],
    server: { deps: { external: [/\/build\//] } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
