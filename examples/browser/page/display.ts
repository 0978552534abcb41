import type { MigrationStatistics } from 'multifd';
import { BlocksView } from './blocks-view.ts';
import { ChartView } from './chart-view.ts';
import { showDevices } from './devices-view.ts';
import { byId } from './dom.ts';
import { HexView } from './hex-view.ts';
import { MapView } from './map-view.ts';
import { NumbersView } from './numbers-view.ts';
import type { Place, Shown } from './shown.ts';

/** Milliseconds between two looks at a memory that pages are coming into. */
const LOOK_MS = 100;

/** Everything on the page that shows a memory. */
export class Display {
  readonly #map: MapView;
  readonly #hex: HexView;
  readonly #blocks: BlocksView;
  readonly #chart: ChartView;
  readonly #numbers = new NumbersView();
  #shown: Shown | undefined;
  #live = false;

  constructor() {
    const open = (place: Place): void => {
      this.#hex.open(place);
      this.#map.select(place);
    };
    this.#map = new MapView(
      {
        canvas: byId('map', HTMLCanvasElement),
        legend: byId('legend', HTMLElement),
        scale: byId('scale', HTMLElement),
        readout: byId('readout', HTMLElement),
      },
      open,
    );
    this.#hex = new HexView(
      {
        block: byId('hex-block', HTMLSelectElement),
        offset: byId('hex-offset', HTMLInputElement),
        form: byId('hex-form', HTMLFormElement),
        previous: byId('hex-previous', HTMLButtonElement),
        next: byId('hex-next', HTMLButtonElement),
        caption: byId('hex-caption', HTMLElement),
        dump: byId('hex-dump', HTMLElement),
        problem: byId('hex-problem', HTMLElement),
      },
      (place) => this.#map.select(place),
    );
    this.#blocks = new BlocksView(byId('blocks', HTMLTableSectionElement), open);
    this.#chart = new ChartView({
      svg: byId('chart', SVGSVGElement),
      rows: byId('channels', HTMLTableSectionElement),
    });
  }

  get shown(): Shown | undefined {
    return this.#shown;
  }

  /** Another memory, or the same with more that is known of it. */
  show(shown: Shown): void {
    this.#shown = shown;
    if (shown.blocks.length === 0) this.#chart.clear();
    document.body.dataset['memory'] = shown.blocks.length === 0 ? 'none' : shown.kind;
    this.#map.show(shown);
    this.#hex.show(shown);
    this.#blocks.show(shown);
    this.#numbers.showMemory(shown);
    showDevices(byId('devices', HTMLElement), shown.devices);
  }

  showProgress(statistics: MigrationStatistics): void {
    this.#chart.add(statistics);
    this.#numbers.showMigration(statistics);
  }

  /** Looks at the memory again and again, until {@link stop}. */
  start(): void {
    this.#live = true;
    let looked = 0;
    const look = (now: number): void => {
      if (!this.#live) return;
      if (now - looked >= LOOK_MS) {
        looked = now;
        this.refresh();
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }

  stop(): void {
    this.#live = false;
    this.refresh();
  }

  refresh(): void {
    if (this.#shown === undefined) return;
    this.#map.paint();
    this.#hex.refresh();
    this.#blocks.refresh();
    this.#numbers.showMemory(this.#shown);
  }
}
