import { make } from './dom.ts';
import { hex, parseOffset } from './format.ts';
import type { Place, Shown } from './shown.ts';
import { stateText } from './states.ts';

const ROW = 16;

export interface HexElements {
  block: HTMLSelectElement;
  offset: HTMLInputElement;
  form: HTMLFormElement;
  previous: HTMLButtonElement;
  next: HTMLButtonElement;
  /** Which page it is. */
  caption: HTMLElement;
  dump: HTMLElement;
  /** What is wrong with what was typed. */
  problem: HTMLElement;
}

/** A page's bytes, 16 a row, with their ASCII. */
export class HexView {
  readonly #elements: HexElements;
  readonly #onMove: (place: Place) => void;
  #shown: Shown | undefined;
  /** Of the byte that was asked for. */
  #place: Place | undefined;
  #version = -1;
  #reading = 0;
  #dumped: { key: string; content: Uint8Array } | undefined;

  /** @param onMove called when the view goes to another page by itself. */
  constructor(elements: HexElements, onMove: (place: Place) => void) {
    this.#elements = elements;
    this.#onMove = onMove;
    const { form, previous, next, block } = elements;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#goToTyped();
    });
    block.addEventListener('change', () => this.#go({ block: block.selectedIndex, offset: 0 }));
    previous.addEventListener('click', () => this.#turn(-1));
    next.addEventListener('click', () => this.#turn(1));
  }

  show(shown: Shown): void {
    const { block, dump, caption } = this.#elements;
    const before = this.#place;
    this.#shown = shown;
    block.replaceChildren(...shown.blocks.map(({ id }) => make('option', {}, id)));
    dump.replaceChildren();
    this.#dumped = undefined;
    caption.textContent = '';
    this.#place = undefined;
    this.#enable();
    if (shown.blocks.length === 0) return;
    // When a memory is complete it is shown anew, at the same place.
    const there =
      before !== undefined && before.offset < (shown.blocks[before.block]?.usedLength ?? 0);
    this.#go(there ? before : { block: 0, offset: 0 });
  }

  /** Shows the page with that byte. */
  open(place: Place): void {
    this.#place = place;
    this.#version = -1;
    this.#enable();
    this.#elements.block.selectedIndex = place.block;
    this.#elements.offset.value = hex(place.offset);
    this.#elements.problem.textContent = '';
    this.refresh();
  }

  /** Reads the page again if its block has changed. */
  refresh(): void {
    if (this.#shown === undefined || this.#place === undefined) return;
    const { version } = this.#shown.blocks[this.#place.block]!.states;
    if (version === this.#version) return;
    this.#version = version;
    void this.#read(this.#shown, this.#place, ++this.#reading);
  }

  async #read(shown: Shown, { block, offset }: Place, reading: number): Promise<void> {
    const { pageSize } = shown;
    const { id, states } = shown.blocks[block]!;
    const start = offset - (offset % pageSize);
    let text: string;
    try {
      const content = await shown.read(block, start);
      if (reading !== this.#reading) return;
      this.#dump(content, start, offset);
      text =
        `${id}, page ${(start / pageSize).toLocaleString('en')}: ` +
        `${stateText(states.codes[start / pageSize]!)}`;
    } catch (error) {
      if (reading !== this.#reading) return;
      this.#dump(new Uint8Array(0), start, offset);
      text = (error as Error).message;
    }
    // A text that is set again would be read out again.
    if (this.#elements.caption.textContent !== text) this.#elements.caption.textContent = text;
  }

  /** Rows that are there already stay, so that what a user has marked in them stays marked. */
  #dump(content: Uint8Array, start: number, offset: number): void {
    const key = `${start} ${offset}`;
    const before = this.#dumped;
    if (
      key === before?.key &&
      content.length === before.content.length &&
      content.every((byte, at) => byte === before.content[at])
    )
      return;
    this.#dumped = { key, content };
    const { dump } = this.#elements;
    dump.replaceChildren(...dumpRows(content, start, offset));
    if (key !== before?.key)
      dump.scrollTop =
        (dump.querySelector<HTMLElement>('.wanted')?.offsetTop ?? dump.offsetTop) - dump.offsetTop;
  }

  #go(place: Place): void {
    this.open(place);
    this.#onMove({ ...place, offset: place.offset - (place.offset % this.#shown!.pageSize) });
  }

  #turn(pages: number): void {
    const { block, offset } = this.#place!;
    const { pageSize } = this.#shown!;
    this.#go({ block, offset: offset - (offset % pageSize) + pages * pageSize });
  }

  #goToTyped(): void {
    if (this.#shown === undefined) return;
    const block = this.#elements.block.selectedIndex;
    const { usedLength } = this.#shown.blocks[block]!;
    const offset = parseOffset(this.#elements.offset.value);
    if (offset !== undefined && offset < usedLength) this.#go({ block, offset });
    else
      this.#elements.problem.textContent = `give an offset below ${hex(usedLength)}, such as 0x1f000 or 126976`;
  }

  #enable(): void {
    const { previous, next } = this.#elements;
    const { blocks, pageSize } = this.#shown!;
    const place = this.#place;
    previous.disabled = place === undefined || place.offset < pageSize;
    next.disabled =
      place === undefined ||
      place.offset + pageSize - (place.offset % pageSize) >= blocks[place.block]!.usedLength;
  }
}

function dumpRows(content: Uint8Array, start: number, wanted: number): HTMLElement[] {
  const rows: HTMLElement[] = [];
  const digits = Math.max(8, (start + content.length).toString(16).length);
  for (let at = 0; at < content.length; at += ROW) {
    const part = content.subarray(at, at + ROW);
    const kind =
      start + at === wanted - (wanted % ROW) && wanted !== start
        ? 'wanted'
        : part.every((byte) => byte === 0)
          ? 'blank'
          : 'full';
    const bytes = Array.from(part, (byte) => byte.toString(16).padStart(2, '0'));
    const pairs = `${bytes.slice(0, 8).join(' ')}  ${bytes.slice(8).join(' ')}`;
    const ascii = Array.from(part, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('');
    rows.push(
      make(
        'div',
        { class: kind },
        make('span', { class: 'at' }, (start + at).toString(16).padStart(digits, '0')),
        pairs,
        make('span', { class: 'ascii' }, ascii),
      ),
    );
  }
  return rows;
}
