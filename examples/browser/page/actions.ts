import { type Compression, MultifdError, send } from 'multifd';
import type { Display } from './display.ts';
import { byId, make } from './dom.ts';
import { bytes, count, seconds } from './format.ts';
import { openImageSource } from './image-source.ts';
import { showReceived } from './received.ts';
import { startReceiving } from './receiver.ts';
import type { ReceiveSettings } from './reception.ts';
import { offeredSources, type ServerEnd, startSource, startTarget } from './server.ts';

type State = 'idle' | 'busy' | 'done' | 'failed';

/** What somebody can do on the page: receive, open, send. One thing at a time. */
export class Actions {
  readonly #display: Display;
  readonly #cancel = byId('cancel', HTMLButtonElement);
  #onCancel = (): void => {};

  constructor(display: Display) {
    this.#display = display;
    this.#cancel.addEventListener('click', () => this.#onCancel());
    onSubmit('receive', (form) => this.receive(settingsOf(form)));
    onSubmit('send', (form) => this.#send(settingsOf(form), `sent to ${String(form.get('uri'))}`));
    onSubmit('open-url', (form) => this.#open(new URL(String(form.get('url')))));
    byId('send-home', HTMLButtonElement).addEventListener('click', () => void this.#sendHome());
    this.#takeFiles();
  }

  /** A button for each source that the server of the page has. */
  async offerSources(): Promise<void> {
    const sources = await offeredSources();
    byId('send-home', HTMLButtonElement).hidden = sources === undefined;
    for (const { name, about } of sources ?? []) {
      const button = make('button', { type: 'button', 'data-source': name }, about);
      button.addEventListener('click', () => void this.#receiveFromServer(name));
      byId('sources', HTMLElement).append(button);
    }
  }

  async receive(settings: ReceiveSettings): Promise<void> {
    const display = this.#display;
    this.#begin(`Receiving from ${settings.uri} …`);
    display.clear();
    display.show(showReceived(settings.uri, []));
    display.start();
    await new Promise<void>((resolve) => {
      this.#onCancel = startReceiving(settings, (report) => {
        if (report.kind === 'blocks') display.show(showReceived(settings.uri, report.blocks));
        else if (report.kind === 'failed') {
          this.#end('failed', `${report.code}: ${report.message}`);
          resolve();
        } else {
          display.showProgress(report.statistics);
          if (report.kind === 'progress') return;
          display.showDevices(report.devices);
          const { ram, 'total-time': time } = report.statistics;
          this.#end('done', `Received ${bytes(ram.total)} in ${seconds(time)}: ${count(ram.normal)} pages with content and ${count(ram.duplicate)} zero ones came, over ${report.statistics.channels.length} channels.`);
          resolve();
        }
      });
    });
    display.stop();
  }

  async #receiveFromServer(name: string): Promise<void> {
    this.#begin('Asking the server for a source …');
    try {
      await this.receive(settingsFor(await startSource(name)));
    } catch (error) {
      this.#end('failed', (error as Error).message);
    }
  }

  async #open(source: File | URL): Promise<void> {
    this.#begin(`Opening ${source instanceof File ? source.name : source.href} …`);
    try {
      const { shown, machine, devices } = await openImageSource(source);
      this.#display.clear();
      this.#display.show(shown);
      this.#display.showDevices(devices);
      const total = shown.blocks.reduce((sum, { usedLength }) => sum + usedLength, 0);
      this.#end('done', `${shown.name}: ${bytes(total)} in ${count(shown.blocks.length)} block${shown.blocks.length === 1 ? '' : 's'}, pages of ${bytes(shown.pageSize)}, machine ${machine}.`);
    } catch (thrown) {
      const { code, message } = MultifdError.from(thrown);
      this.#end('failed', `${code}: ${message}`);
    }
  }

  async #sendHome(): Promise<void> {
    this.#begin('Asking the server for a target …');
    try {
      const end = await startTarget();
      await this.#send(settingsFor(end), `sent back; the server has written ${end.path ?? 'it'}`);
    } catch (error) {
      this.#end('failed', (error as Error).message);
    }
  }

  async #send(settings: ReceiveSettings, done: string): Promise<void> {
    const { shown } = this.#display;
    if (shown === undefined) return;
    const cancelling = new AbortController();
    this.#begin(`Sending ${shown.name} …`);
    this.#onCancel = () => cancelling.abort();
    try {
      const { ram, 'total-time': time } = await send({
        ...settings,
        ...shown.outgoing(),
        pageSize: shown.pageSize,
        signal: cancelling.signal,
        onProgress: ({ ram }) => this.#say('busy', `Sending ${shown.name}: ${bytes(ram.total - ram.remaining)} of ${bytes(ram.total)} …`),
      });
      this.#end('done', `${bytes(ram.total)} in ${seconds(time)} ${done}: ${count(ram.normal)} pages with content, ${count(ram.duplicate)} zero ones.`);
    } catch (thrown) {
      const { code, message } = MultifdError.from(thrown);
      this.#end('failed', `${code}: ${message}`);
    }
  }

  #takeFiles(): void {
    const input = byId('file', HTMLInputElement);
    const drop = byId('drop', HTMLElement);
    const take = (file: File | undefined): void => {
      if (file !== undefined && !document.body.hasAttribute('data-busy')) void this.#open(file);
    };
    input.addEventListener('change', () => {
      take(input.files?.[0]);
      input.value = '';
    });
    addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
    addEventListener('dragleave', () => drop.classList.remove('over'));
    addEventListener('drop', (event) => {
      event.preventDefault();
      drop.classList.remove('over');
      take(event.dataTransfer?.files[0]);
    });
  }

  #begin(what: string): void {
    this.#say('busy', what);
    document.body.dataset['busy'] = '';
    this.#cancel.hidden = false;
    this.#onCancel = () => {};
    this.#enable();
  }

  #end(state: State, what: string): void {
    this.#say(state, what);
    delete document.body.dataset['busy'];
    this.#cancel.hidden = true;
    this.#enable();
  }

  #say(state: State, what: string): void {
    const status = byId('status', HTMLElement);
    status.dataset['state'] = state;
    status.textContent = what;
  }

  #enable(): void {
    const busy = document.body.hasAttribute('data-busy');
    const nothing = (this.#display.shown?.blocks.length ?? 0) === 0;
    for (const button of document.querySelectorAll<HTMLButtonElement>('.actions button')) {
      if (button !== this.#cancel) button.disabled = busy || (nothing && button.closest('[data-needs-memory]') !== null);
    }
    byId('file', HTMLInputElement).disabled = busy;
  }
}

function onSubmit(id: string, action: (form: FormData) => Promise<void>): void {
  const form = byId(id, HTMLFormElement);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void action(new FormData(form));
  });
}

function settingsOf(form: FormData): ReceiveSettings {
  const token = String(form.get('token'));
  return { uri: String(form.get('uri')), channels: Number(form.get('channels')), compression: String(form.get('compression')) as Compression, ...(token !== '' && { token }) };
}

function settingsFor({ uri, channels, token }: ServerEnd): ReceiveSettings {
  return { uri, channels, token, compression: 'none' };
}
