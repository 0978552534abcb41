import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';

/**
 * The runtimes that the package is tested on. `node20` stands for the Node that runs the tests, the
 * oldest one supported.
 */
export type Runtime = 'node20' | 'node24' | 'node26' | 'deno' | 'bun' | 'workerd' | 'chromium';

/** A runtime's binary, or why there is none to use. */
export type Located =
  | { readonly path: string; readonly version: string }
  | { readonly missing: string };

const installed = (path: string): string =>
  fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));

const PATHS: Record<Runtime, string> = {
  node20: process.execPath,
  node24: installed('node24/bin/node'),
  node26: installed('node26/bin/node'),
  deno: installed('.bin/deno'),
  bun: installed('.bin/bun'),
  workerd: installed('.bin/workerd'),
  chromium: '/usr/bin/chromium',
};

/** Looks where `npm run setup:all` and Debian put it, and asks it for its version. */
export function locate(runtime: Runtime): Located {
  const path = PATHS[runtime];
  if (!existsSync(path)) return { missing: `${path} is not there` };
  const { status, stdout, stderr, error } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (status !== 0) return { missing: `${path} --version: ${error?.message ?? stderr.trim()}` };
  const version = /\d+([.-]\d+)+/.exec(stdout)?.[0];
  return version === undefined
    ? { missing: `${path} --version says ${JSON.stringify(stdout)}` }
    : { path, version };
}

/**
 * The runtime's binary, for a test; without it the test is left out, or fails in CI, where every
 * runtime has to be there.
 */
export function binaryOf(runtime: Runtime, context: TestContext): string {
  const located = locate(runtime);
  if ('path' in located) return located.path;
  if ((process.env['CI'] ?? '') !== '') throw new Error(located.missing);
  return context.skip(located.missing);
}
