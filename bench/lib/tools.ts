import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as zlib from 'node:zlib';

export const ROOT = new URL('../../', import.meta.url);

/** Programs that a bench can use, and how they say what version they are. */
const PROGRAMS = {
  'qemu-system-x86_64': ['--version'],
  iperf3: ['--version'],
  cc: ['--version'],
  zstd: ['--version'],
  deno: ['--version'],
  bun: ['--version'],
  workerd: ['--version'],
  chromium: ['--version'],
} as const;

export type Program = keyof typeof PROGRAMS;

/** Where packages are that only benches and tests of runtimes need. */
const FOLDERS = ['bench', 'test/peers/runtimes'] as const;

/** What is installed here. */
export class Tools {
  readonly #found = new Map<Program, { path: string; version: string }>();

  constructor() {
    const path = [
      process.env['PATH'] ?? '',
      ...FOLDERS.map((folder) => new URL(`${folder}/node_modules/.bin`, ROOT).pathname),
    ].join(delimiter);
    for (const [program, args] of Object.entries(PROGRAMS) as [Program, readonly string[]][]) {
      const file = path
        .split(delimiter)
        .map((folder) => join(folder, program))
        .find(existsSync);
      if (file === undefined) continue;
      const { status, stdout } = spawnSync(file, args, { encoding: 'utf8', timeout: 20_000 });
      if (status === 0)
        this.#found.set(program, {
          path: file,
          version: /\d+(\.\d+)+|\d{4}-\d\d-\d\d/.exec(stdout)?.[0] ?? '?',
        });
    }
  }

  path(program: Program): string | undefined {
    return this.#found.get(program)?.path;
  }

  /** A Node with codecs of its own for zstd: this one, or one that tests use. */
  get zstdNode(): string | undefined {
    if ('zstdCompressSync' in zlib) return process.execPath;
    return FOLDERS.map(
      (folder) => new URL(`${folder}/node_modules/node24/bin/node`, ROOT).pathname,
    ).find(existsSync);
  }

  versions(): Record<string, string> {
    return {
      node: process.versions.node,
      ...Object.fromEntries([...this.#found].map(([program, { version }]) => [program, version])),
    };
  }

  /** A sentence for each of the programs that is not here. */
  missing(...programs: readonly Program[]): string[] {
    return programs
      .filter((program) => !this.#found.has(program))
      .map((program) => `${program}: not installed`);
  }
}

/** Where a package of those folders is, for `import()`. */
export function packageUrl(name: string): string | undefined {
  for (const folder of FOLDERS) {
    try {
      return pathToFileURL(createRequire(new URL(`${folder}/package.json`, ROOT)).resolve(name))
        .href;
    } catch {
      // Not in that folder.
    }
  }
  return undefined;
}
