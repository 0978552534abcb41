import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { QemuTable } from './qemu/table-reporter.ts';
import { RuntimeTables } from './runtimes/table-reporter.ts';
import { ClosingLine } from './support/closing-line.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The tests use the package as it is published: the built files, by the names of its exports. */
export default defineConfig({
  root: at('.'),
  cacheDir: at('../node_modules/.vite'),
  resolve: {
    alias: [
      { find: /^multifd$/, replacement: at('../build/index.js') },
      { find: /^multifd\/(core|engine)$/, replacement: at('../build/$1.js') },
    ],
  },
  test: {
    include: ['**/*.test.ts'],
    server: { deps: { external: [/\/build\//] } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', new QemuTable(), new RuntimeTables(), new ClosingLine()],
  },
});
