import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { QemuTable } from './peers/qemu/table-reporter.ts';
import { RuntimeTables } from './peers/runtimes/table-reporter.ts';
import { ClosingLine } from './support/closing-line.ts';
import { LongFirst } from './support/long-first.ts';
import { Report } from './support/report.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * - `fast` needs nothing but Node and comes to its end within a minute;
 * - `system` starts processes, or takes long: by waits, much memory, or many migrations;
 * - `peers` talks to QEMU, other runtimes, browsers, and what the benches compare with.
 */
const PROJECTS = ['fast', 'system', 'peers'] as const;

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
    projects: PROJECTS.map((name) => ({
      extends: true as const,
      test: { name, include: [`${name}/**/*.test.ts`] },
    })),
    server: { deps: { external: [/\/build\//] } },
    // What hangs ends; what takes long beside others on two cores does not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Two cores: most files wait for processes and time-outs more than they compute.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    reporters: [
      'default',
      new QemuTable(),
      new RuntimeTables(),
      new Report(at('../node_modules/.cache/multifd-tests.json')),
      new ClosingLine(),
    ],
  },
});
