import type { MigrationStatistics } from 'multifd';
import { byId } from './dom.ts';
import { bytes, count, figures, seconds } from './format.ts';
import type { Shown } from './shown.ts';

/** The numbers at the top of the page. */
export class NumbersView {
  showMemory({ blocks }: Shown): void {
    const sum = (of: (block: Shown['blocks'][number]) => number): number =>
      blocks.reduce((total, block) => total + of(block), 0);
    put('memory', bytes(sum(({ usedLength }) => usedLength)));
    put('pages', count(sum(({ states }) => states.pages)));
    put('normal', count(sum(({ states }) => states.normal)));
    put('zero', count(sum(({ states }) => states.zero)));
    put('again', count(sum(({ states }) => states.again)));
    put('round', count(Math.max(0, ...blocks.map(({ states }) => states.round))));
  }

  showMigration({ ram, 'total-time': time }: MigrationStatistics): void {
    put('transferred', bytes(ram.transferred));
    put('time', seconds(time));
    put('throughput', `${figures((ram.mbps * 1e6) / 8 / 2 ** 20)} MiB/s`);
  }
}

function put(name: string, text: string): void {
  byId(`number-${name}`, HTMLElement).textContent = text;
}
