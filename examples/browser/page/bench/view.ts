import { byId, make, makeSvg } from '../dom.ts';
import { figures } from '../format.ts';
import type { BenchResult, BenchSettings } from './worker.ts';

const BAR = 17;
/** Per cent of the width for the longest bar; its number is behind it. */
const LONGEST = 74;

/** Runs the benchmark when its form says so, and draws each result when it comes. */
export function offerBench(): void {
  const form = byId('bench', HTMLFormElement);
  const status = byId('bench-status', HTMLElement);
  const chart = byId('bench-chart', HTMLElement);
  const button = form.querySelector('button')!;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const settings: BenchSettings = {
      mebibytes: Number(fields.get('mebibytes')),
      rounds: Number(fields.get('rounds')),
    };
    button.disabled = true;
    chart.replaceChildren(key());
    status.textContent = 'running …';
    const worker = new Worker(new URL('./bench/worker.js', import.meta.url), { type: 'module' });
    const end = (text: string): void => {
      worker.terminate();
      button.disabled = false;
      status.textContent = text;
    };
    worker.addEventListener('message', ({ data }: MessageEvent<BenchResult | null>) => {
      if (data === null)
        end(`done: medians of ${settings.rounds} rounds over ${settings.mebibytes} MiB`);
      else chart.append(resultRow(data));
    });
    worker.addEventListener('error', ({ message }) => end(message));
    worker.postMessage(settings);
  });
}

function key(): HTMLElement {
  return make(
    'div',
    { class: 'key' },
    make('span', {}, swatch('core'), 'WebAssembly core'),
    make('span', {}, swatch('plain'), 'plain JavaScript'),
  );
}

function swatch(contestant: string): SVGElement {
  return makeSvg(
    'svg',
    { class: 'swatch', viewBox: '0 0 1 1', 'aria-hidden': 'true' },
    makeSvg('rect', { class: contestant, width: 1, height: 1 }),
  );
}

function resultRow({ name, about, unit, core, plain }: BenchResult): HTMLElement {
  const texts = { core: `${figures(core)} ${unit}`, plain: `${figures(plain)} ${unit}` };
  const most = Math.max(core, plain);
  const bar = (contestant: 'core' | 'plain', value: number, y: number): SVGElement[] => {
    const width = `${(value / most) * LONGEST}%`;
    return [
      makeSvg('rect', { class: contestant, y, width, height: BAR, rx: 2 }),
      makeSvg('text', { x: width, dx: 7, y: y + BAR - 4 }, texts[contestant]),
    ];
  };
  const label = `${name}: core ${texts.core}, plain JavaScript ${texts.plain}`;
  return make(
    'div',
    { class: 'result' },
    make('div', { class: 'name' }, name, make('small', {}, about)),
    makeSvg(
      'svg',
      { role: 'img', 'aria-label': label },
      ...bar('core', core, 0),
      ...bar('plain', plain, BAR + 4),
    ),
    make(
      'div',
      { class: 'ratio', title: 'the core beside plain JavaScript' },
      `× ${figures(core / plain)}`,
    ),
  );
}
