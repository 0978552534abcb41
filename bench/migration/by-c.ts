import type { Sample } from '../lib/part.ts';
import { runProgram } from '../lib/process.ts';
import { GIB } from './order.ts';

/**
 * As much memory from one process to another by C, which looks at none of it.
 * @throws when what came is not what left.
 */
export async function moveByC(native: string, bytes: number, channels: number): Promise<Sample> {
  const { stdout } = await runProgram(native, [`${bytes}`, `${channels}`]);
  const [seconds, cpu] = stdout.split(' ').map(Number) as [number, number];
  return { 'GiB/s': bytes / GIB / seconds, 'CPU s/GiB': (cpu * GIB) / bytes };
}
