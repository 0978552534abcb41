/** The page: what there is to see and to do. The database is in `worker.ts`. */
import { byId } from '../../browser/page/dom.ts';
import { bytes, count } from '../../browser/page/format.ts';
import { post } from '../../browser/page/server.ts';
import type { ClassifiedConnection, Report, Request } from './messages.ts';
import {
  showActivity,
  showAnswer,
  showArrival,
  showChecks,
  showRefusal,
  showStatus,
} from './views.ts';

class DatabasePage {
  readonly #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  #place: 'away' | 'here' = 'away';
  #arrival: ClassifiedConnection | undefined;

  constructor() {
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Report>) => this.#hear(data));
    this.#worker.addEventListener('error', ({ message }) => this.#settle('failed', message));
    byId('receive', HTMLButtonElement).addEventListener(
      'click',
      () => void this.#move('receive', 'leave'),
    );
    byId('send', HTMLButtonElement).addEventListener(
      'click',
      () => void this.#move('send', 'return'),
    );
    byId('verify', HTMLButtonElement).addEventListener('click', () =>
      this.#request({ kind: 'verify' }),
    );
    const form = byId('query', HTMLFormElement);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#request({ kind: 'ask', sql: String(new FormData(form).get('sql')) });
    });
  }

  /** @param path of the server's end of this. */
  async #move(kind: 'receive' | 'send', path: string): Promise<void> {
    showStatus('busy', 'Asking the server …');
    this.#enable(true);
    try {
      this.#request({ kind, end: await post(path) });
    } catch (error) {
      this.#settle('failed', (error as Error).message);
    }
  }

  #request(request: Request): void {
    this.#worker.postMessage(request);
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case 'moving':
        return showStatus(
          'busy',
          `${this.#place === 'away' ? 'Receiving' : 'Sending'}: ${bytes(report.transferred)} ` +
            `for ${bytes(report.total)} of memory …`,
        );
      case 'arrived':
        this.#place = 'here';
        this.#arrival = report.arrival;
        showArrival(report.arrival);
        this.#settle('done', 'The database is here, and the writer goes on.');
        return this.#request({ kind: 'verify' });
      case 'left':
        this.#place = 'away';
        return this.#settle(
          'done',
          'The database is at the server again: it left with transaction ' +
            `${count(report.committed)}.`,
        );
      case 'activity':
        return showActivity(report.activity, this.#arrival);
      case 'failed':
        return this.#settle('failed', report.message);
      case 'verified':
        return showChecks(report.committed, report.checks);
      case 'answered':
        return showAnswer(report.answer);
      case 'refused':
        return showRefusal(report.message);
    }
  }

  #settle(state: 'done' | 'failed', what: string): void {
    showStatus(state, what);
    this.#enable(false);
  }

  #enable(moving: boolean): void {
    const here = this.#place === 'here';
    document.body.dataset['database'] = this.#place;
    byId('receive', HTMLButtonElement).disabled = moving || here;
    byId('send', HTMLButtonElement).disabled = moving || !here;
    for (const button of document.querySelectorAll<HTMLButtonElement>('#verify, #query button'))
      button.disabled = !here;
  }
}

new DatabasePage();
