import type { ChannelStatistics, MigrationStatistics } from 'multifd';
import { make, makeSvg, row } from './dom.ts';
import { bytes, seconds } from './format.ts';

const WIDTH = 480;
const HEIGHT = 200;
const LEFT = 68;
const BOTTOM = 24;
const TOP = 10;
/** Milliseconds between two samples. */
const SHORTEST_MS = 50;
/** When there are more, every second one is left out. */
const MOST_SAMPLES = 400;
/** The style sheet has this many colours for channels; they come again after that. */
const COLOURS = 8;

interface Sample {
  /** Milliseconds since the migration began. */
  time: number;
  /** Of each channel, from the beginning on. */
  bytes: readonly number[];
}

export interface ChartElements {
  svg: SVGSVGElement;
  /** Each channel's numbers. */
  rows: HTMLTableSectionElement;
}

/**
 * Channels' throughput since the migration began, one upon the other, so that the upper edge is
 * that of all.
 */
export class ChartView {
  readonly #elements: ChartElements;
  #samples: Sample[] = [];

  constructor(elements: ChartElements) {
    this.#elements = elements;
    elements.svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  }

  clear(): void {
    this.#samples = [];
    this.#elements.svg.replaceChildren();
    this.#elements.rows.replaceChildren();
  }

  add({ 'total-time': time, channels }: MigrationStatistics): void {
    if (channels.length === 0) return;
    if (this.#samples.length === 0) this.#samples.push({ time: 0, bytes: channels.map(() => 0) });
    // What comes right behind another one, as the last does, takes its place: so short a time says
    // nothing of the rate.
    if (this.#samples.length > 1 && time - this.#samples.at(-1)!.time < SHORTEST_MS)
      this.#samples.pop();
    if (time > this.#samples.at(-1)!.time)
      this.#samples.push({ time, bytes: channels.map((channel) => channel.bytes) });
    if (this.#samples.length > MOST_SAMPLES)
      this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
    this.#draw();
    this.#list(channels);
  }

  #draw(): void {
    const rates = this.#samples
      .slice(1)
      .map((sample, index) => ratesBetween(this.#samples[index]!, sample));
    const most = Math.max(1, ...rates.map((all) => all.reduce((sum, rate) => sum + rate, 0)));
    const step = niceStep(most);
    const top = Math.ceil(most / step) * step;
    const end = Math.max(1, this.#samples.at(-1)!.time);
    const x = (time: number): number => LEFT + (time / end) * (WIDTH - LEFT - 8);
    const y = (rate: number): number => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - BOTTOM - TOP);
    const grid: SVGElement[] = [];
    for (let rate = 0; rate <= top; rate += step) {
      grid.push(
        makeSvg('line', { class: 'grid', x1: LEFT, x2: WIDTH - 8, y1: y(rate), y2: y(rate) }),
      );
      grid.push(
        makeSvg(
          'text',
          { x: LEFT - 8, y: y(rate) + 4, 'text-anchor': 'end' },
          rate === 0 ? '0' : `${bytes(rate)}/s`,
        ),
      );
    }
    grid.push(
      makeSvg('text', { x: LEFT, y: HEIGHT - 6 }, '0'),
      makeSvg('text', { x: WIDTH - 8, y: HEIGHT - 6, 'text-anchor': 'end' }, seconds(end)),
    );
    const areas = this.#samples[0]!.bytes.map((_, channel) => {
      const below = rates.map((all) => all.slice(0, channel).reduce((sum, rate) => sum + rate, 0));
      return makeSvg('path', {
        class: `series-${channel % COLOURS}`,
        d: this.#area(
          below,
          rates.map((all, at) => below[at]! + all[channel]!),
          x,
          y,
        ),
      });
    });
    this.#elements.svg.replaceChildren(...areas, ...grid);
  }

  /** In steps: between two samples there is one rate. */
  #area(
    below: readonly number[],
    above: readonly number[],
    x: (time: number) => number,
    y: (rate: number) => number,
  ): string {
    const times = this.#samples.map(({ time }) => x(time).toFixed(1));
    const upper = above.map((rate, at) => `V${y(rate).toFixed(1)}H${times[at + 1]}`).join('');
    const lower = below
      .map((rate, at) => `V${y(rate).toFixed(1)}H${times[at]}`)
      .reverse()
      .join('');
    return `M${times[0]} ${y(below[0] ?? 0).toFixed(1)}${upper}${lower}Z`;
  }

  #list(channels: readonly ChannelStatistics[]): void {
    const rows = channels.map(({ id, packets, bytes: moved, normal, duplicate }) => {
      const name = make(
        'span',
        {},
        make('span', { class: `swatch series-${id % COLOURS}` }),
        String(id),
      );
      return row(name, packets, normal, duplicate, make('span', { class: 'number' }, bytes(moved)));
    });
    this.#elements.rows.replaceChildren(...rows);
  }
}

/** Bytes per second of each channel. */
function ratesBetween(from: Sample, to: Sample): number[] {
  return to.bytes.map(
    (end, channel) => ((end - (from.bytes[channel] ?? 0)) * 1000) / (to.time - from.time),
  );
}

/**
 * A distance of grid lines, of which there are two to four: a power of two, which reads well in
 * binary units.
 */
function niceStep(most: number): number {
  return 2 ** Math.floor(Math.log2(most / 2));
}
