import { make, row } from './dom.ts';
import { bytes, count } from './format.ts';
import type { Place, Shown, ShownBlock } from './shown.ts';

/** The blocks with their pages, counted. */
export class BlocksView {
  readonly #body: HTMLTableSectionElement;
  readonly #open: (place: Place) => void;
  #rows: { block: ShownBlock; cells: HTMLElement[]; version: number }[] = [];

  constructor(body: HTMLTableSectionElement, open: (place: Place) => void) {
    this.#body = body;
    this.#open = open;
  }

  show({ blocks }: Shown): void {
    this.#rows = blocks.map((block) => ({
      block,
      cells: ['number', 'number', 'number', 'number moved'].map((kind) =>
        make('span', { class: kind }),
      ),
      version: -1,
    }));
    this.#body.replaceChildren(
      ...this.#rows.map(({ block: { id, usedLength }, cells }, index) => {
        const name = make('button', { type: 'button', class: 'link' }, id);
        name.addEventListener('click', () => this.#open({ block: index, offset: 0 }));
        return row(name, make('span', { class: 'number' }, bytes(usedLength)), ...cells);
      }),
    );
    this.refresh();
  }

  /** Counts again what has changed. */
  refresh(): void {
    for (const entry of this.#rows) {
      const { states } = entry.block;
      if (states.version === entry.version) continue;
      entry.version = states.version;
      for (const [index, value] of [
        states.pages,
        states.normal,
        states.zero,
        states.again,
      ].entries())
        entry.cells[index]!.textContent = count(value);
    }
  }
}
