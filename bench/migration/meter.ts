import type { Sample } from '../lib/part.ts';
import { usageOf } from '../lib/process.ts';
import { GIB } from './order.ts';

/**
 * Notes what two processes have used; what it gives, called with how long the work took, says what
 * they have used for it.
 */
export function meter(source: number, target: number, bytes: number): (seconds: number) => Sample {
  const before = [usageOf(source), usageOf(target)];
  return (seconds) => {
    const after = [usageOf(source), usageOf(target)];
    const speed = { 'GiB/s': bytes / GIB / seconds };
    if (after.includes(undefined) || before.includes(undefined)) return speed;
    const [from, to] = after.map((usage, end) => ({
      cpu: usage!.cpu - before[end]!.cpu,
      peakMiB: usage!.peakMiB,
    }));
    return {
      ...speed,
      'CPU s/GiB': ((from!.cpu + to!.cpu) * GIB) / bytes,
      'peak MiB, source': from!.peakMiB,
      'peak MiB, target': to!.peakMiB,
    };
  };
}
