import { make } from './dom.ts';
import { bytes, count, hex } from './format.ts';
import { cellOf, layOut, type MapLayout, pageAt } from './map-layout.ts';
import { css, pixels } from './palette.ts';
import type { Place, Shown } from './shown.ts';
import { FIRST, NEVER, stateText, ZERO } from './states.ts';

/** In CSS pixels. */
const MAP_HEIGHT = 400;
const LABEL_HEIGHT = 22;
const LARGEST_CELL = 11;
/** From this size on cells have a gap between them, in pixels of the screen. */
const CELL_WITH_GAP = 4;

export interface MapElements {
  canvas: HTMLCanvasElement;
  legend: HTMLElement;
  /** Says how many pages are in a cell. */
  scale: HTMLElement;
  /** Says what is under the pointer. */
  readout: HTMLElement;
}

/** The memory as a map: a cell for a page, or for a group of them. */
export class MapView {
  readonly #elements: MapElements;
  readonly #open: (place: Place) => void;
  readonly #dark = matchMedia('(prefers-color-scheme: dark)');
  #pixels = pixels(this.#dark.matches);
  #shown: Shown | undefined;
  #layout: MapLayout = layOut([], { width: 1, height: 1, label: 0, most: 1 });
  #selected: Place | undefined;
  /** What the readout is about. */
  #said: Place | undefined;
  #painted = -1;
  #rounds = -1;

  /** @param open called for a page that a user selects. */
  constructor(elements: MapElements, open: (place: Place) => void) {
    this.#elements = elements;
    this.#open = open;
    const { canvas } = elements;
    this.#dark.addEventListener('change', () => {
      this.#pixels = pixels(this.#dark.matches);
      this.#rounds = -1;
      this.#layOut();
    });
    new ResizeObserver(() => this.#layOut()).observe(canvas.parentElement!);
    canvas.addEventListener('pointermove', (event) => this.#say(this.#placeAt(event)));
    canvas.addEventListener('pointerleave', () => this.#say(this.#selected));
    canvas.addEventListener('click', (event) => {
      const place = this.#placeAt(event);
      if (place !== undefined) this.#open(place);
    });
    canvas.addEventListener('keydown', (event) => this.#move(event));
  }

  show(shown: Shown): void {
    this.#shown = shown;
    this.#selected = undefined;
    this.#said = undefined;
    this.#rounds = -1;
    this.#layOut();
  }

  /** Marks a page. */
  select(place: Place): void {
    this.#selected = place;
    this.#painted = -1;
    this.#say(place);
    this.paint();
  }

  /** Paints what has changed since the last time, if anything has. */
  paint(): void {
    const shown = this.#shown;
    if (shown === undefined) return;
    const version = shown.blocks.reduce((sum, { states }) => sum + states.version, 0);
    if (version === this.#painted) return;
    this.#painted = version;
    const context = this.#elements.canvas.getContext('2d')!;
    context.clearRect(0, 0, this.#elements.canvas.width, this.#elements.canvas.height);
    const style = getComputedStyle(this.#elements.canvas);
    context.font = `${12 * devicePixelRatio}px ${style.fontFamily}`;
    context.textBaseline = 'alphabetic';
    context.fillStyle = style.color;
    for (const [index, { id, usedLength, states }] of shown.blocks.entries()) {
      const { top, rows } = this.#layout.areas[index]!;
      context.fillText(`${id}  ${bytes(usedLength)}`, 0, top - 6 * devicePixelRatio);
      if (rows > 0) context.putImageData(this.#image(states.codes, rows), 0, top);
    }
    this.#outline(context, style.color);
    this.#say(this.#said);
    this.#showLegend();
  }

  #layOut(): void {
    const shown = this.#shown;
    if (shown === undefined) return;
    const { canvas } = this.#elements;
    const ratio = devicePixelRatio;
    const width = Math.max(1, Math.floor(canvas.parentElement!.clientWidth * ratio));
    const pages = shown.blocks.map(({ states }) => states.pages);
    this.#layout = layOut(pages, {
      width,
      height: MAP_HEIGHT * ratio,
      label: Math.round(LABEL_HEIGHT * ratio),
      most: Math.round(LARGEST_CELL * ratio),
    });
    canvas.width = width;
    canvas.height = this.#layout.height;
    canvas.style.height = `${this.#layout.height / ratio}px`;
    const { group } = this.#layout;
    const page = `of ${bytes(shown.pageSize)}`;
    this.#elements.scale.textContent =
      group === 1
        ? `a cell is a page ${page}`
        : `a cell is ${group} pages ${page}, and shows the latest of them`;
    this.#painted = -1;
    this.paint();
  }

  #image(codes: Uint8Array, rows: number): ImageData {
    const { cell, group, columns } = this.#layout;
    const image = new ImageData(columns * cell, rows * cell);
    const target = new Uint32Array(image.data.buffer);
    const side =
      cell >= CELL_WITH_GAP * devicePixelRatio ? cell - Math.round(devicePixelRatio) : cell;
    for (let first = 0, index = 0; first < codes.length; first += group, index++) {
      const pixel = this.#pixels[latest(codes, first, group)]!;
      const at = Math.floor(index / columns) * cell * image.width + (index % columns) * cell;
      for (let line = 0; line < side; line++)
        target.fill(pixel, at + line * image.width, at + line * image.width + side);
    }
    return image;
  }

  #outline(context: CanvasRenderingContext2D, colour: string): void {
    if (this.#selected === undefined) return;
    const { block, offset } = this.#selected;
    const { x, y } = cellOf(this.#layout, block, offset / this.#shown!.pageSize);
    const line = 2 * devicePixelRatio;
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(
      x - line / 2,
      y - line / 2,
      this.#layout.cell + line / 2,
      this.#layout.cell + line / 2,
    );
  }

  #showLegend(): void {
    const { blocks, kind } = this.#shown!;
    const rounds = Math.max(0, ...blocks.map(({ states }) => states.round));
    if (rounds === this.#rounds) return;
    this.#rounds = rounds;
    const entry = (code: number, text: string): HTMLElement =>
      make('li', {}, this.#swatch(code), text);
    const entries = [entry(ZERO, stateText(ZERO)), entry(FIRST, stateText(FIRST))];
    if (kind === 'received') entries.unshift(entry(NEVER, stateText(NEVER)));
    if (rounds > 1) {
      const ramp = make('span', { class: 'ramp' });
      for (let round = 2; round <= Math.min(rounds, 9); round++)
        ramp.append(this.#swatch(FIRST + round - 1));
      entries.push(
        make(
          'li',
          {},
          ramp,
          rounds === 2 ? 'sent again in round 2' : `sent again, last in round 2 to ${rounds}`,
        ),
      );
    }
    this.#elements.legend.replaceChildren(...entries);
  }

  #swatch(code: number): HTMLElement {
    const swatch = make('span', { class: 'swatch' });
    swatch.style.background = css(this.#pixels[code]!);
    return swatch;
  }

  #placeAt({ offsetX, offsetY }: MouseEvent): Place | undefined {
    const found = pageAt(this.#layout, offsetX * devicePixelRatio, offsetY * devicePixelRatio);
    return found && { block: found.block, offset: found.page * this.#shown!.pageSize };
  }

  #say(place: Place | undefined): void {
    const shown = this.#shown;
    if (shown === undefined || place === undefined) return;
    this.#said = place;
    const { id, states } = shown.blocks[place.block]!;
    const page = place.offset / shown.pageSize;
    const { group } = this.#layout;
    const last = Math.min(page + group, states.pages) - 1;
    const pages =
      group === 1 || last === page
        ? `page ${count(page)}`
        : `pages ${count(page)} to ${count(last)}`;
    this.#elements.readout.textContent = `${id} at ${hex(place.offset)}, ${pages}: ${stateText(latest(states.codes, page, group))}`;
  }

  #move(event: KeyboardEvent): void {
    const shown = this.#shown;
    if (shown === undefined) return;
    const { block, offset } = this.#selected ?? { block: 0, offset: 0 };
    const { group, columns } = this.#layout;
    const steps: Record<string, number> = {
      ArrowLeft: -group,
      ArrowRight: group,
      ArrowUp: -group * columns,
      ArrowDown: group * columns,
    };
    const step = event.key === 'Enter' ? 0 : steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const page = Math.min(
      Math.max(offset / shown.pageSize + step, 0),
      shown.blocks[block]!.states.pages - 1,
    );
    this.#open({ block, offset: page * shown.pageSize });
  }
}

/** A group's code: of codes the greater is the later. */
function latest(codes: Uint8Array, first: number, group: number): number {
  let code = codes[first]!;
  for (let page = first + 1; page < Math.min(first + group, codes.length); page++)
    code = Math.max(code, codes[page]!);
  return code;
}
