import { spawnSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Setting } from './part.ts';
import { ROOT } from './tools.ts';

/**
 * A program of C, with all that this machine's processor has.
 * @param source its file, from the project's folder on.
 * @returns where it is; undefined where there is no compiler.
 */
export function compileNative(
  { tools, folder }: Pick<Setting, 'tools' | 'folder'>,
  source: string,
): string | undefined {
  const compiler = tools.path('cc');
  if (compiler === undefined) return undefined;
  const program = join(folder, `${basename(dirname(source))}-native`);
  const { status, stderr } = spawnSync(
    compiler,
    ['-O3', '-march=native', '-pthread', '-o', program, fileURLToPath(new URL(source, ROOT))],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`);
  return program;
}
