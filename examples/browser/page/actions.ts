import { type Compression, type MigrationStatistics, MultifdError, send } from 'multifd';
import type { Display } from './display.ts';
import { byId, make } from './dom.ts';
import { bytes, count, seconds } from './format.ts';
import { openImageSource } from './image-source.ts';
import { showNothing, showReceived } from './received.ts';
import { startReceiving } from './receiver.ts';
import type { ReceiveSettings } from './reception.ts';
import { offeredSources, type ServerEnd, startSource, startTarget } from './server.ts';

type State = 'busy' | 'done' | 'failed';

/** What a user can do on the page: receive, open, send. One thing at a time. */
export class Actions {
  readonly #display: Display;
  readonly #cancel = byId('cancel', HTMLButtonElement);
  #cancelling = new AbortController();

  constructor(display: Display) {
    this.#display = display;
    this.#cancel.addEventListener('click', () => this.#cancelling.abort());
    this.#onSubmit('receive', (form, signal) => this.#receive(settingsOf(form), signal));
    this.#onSubmit('send', (form, signal) =>
      this.#send(settingsOf(form), `sent to ${String(form.get('uri'))}`, signal),
    );
    this.#onSubmit('open-url', (form) => this.#open(new URL(String(form.get('url')))));
    byId('send-home', HTMLButtonElement).addEventListener(
      'click',
      () => void this.#run((signal) => this.#sendHome(signal)),
    );
    this.#takeFiles();
  }

  /** A button for each source that the server of the page has. */
  async offerSources(): Promise<void> {
    const sources = await offeredSources();
    byId('send-home', HTMLButtonElement).hidden = sources === undefined;
    for (const { name, about } of sources ?? []) {
      const button = make('button', { type: 'button', 'data-source': name }, about);
      button.addEventListener(
        'click',
        () =>
          void this.#run(async (signal) =>
            this.#receive(settingsFor(await startSource(name, signal)), signal),
          ),
      );
      byId('sources', HTMLElement).append(button);
    }
  }

  async #receive(settings: ReceiveSettings, signal: AbortSignal): Promise<string> {
    const display = this.#display;
    this.#say('busy', `Receiving from ${settings.uri} …`);
    display.show(showNothing(settings.uri));
    display.start();
    try {
      const {
        ram,
        channels,
        'total-time': time,
      } = await new Promise<MigrationStatistics>((resolve, reject) => {
        startReceiving(settings, signal, (report) => {
          if (report.kind === 'failed')
            return reject(new Error(`${report.code}: ${report.message}`));
          if (report.kind === 'received')
            return display.show(showReceived(settings.uri, report.received));
          display.showProgress(report.statistics);
          if (report.kind === 'completed') resolve(report.statistics);
        });
      });
      return (
        `Received ${bytes(ram.total)} in ${seconds(time)}: ${count(ram.normal)} pages with ` +
        `content and ${count(ram.duplicate)} zero ones came, over ${channels.length} channels.`
      );
    } finally {
      display.stop();
    }
  }

  async #open(source: File | URL): Promise<string> {
    this.#say('busy', `Opening ${source instanceof File ? source.name : source.href} …`);
    const { shown, machine } = await openImageSource(source);
    this.#display.show(shown);
    const { name, blocks, pageSize } = shown;
    const total = blocks.reduce((sum, { usedLength }) => sum + usedLength, 0);
    return (
      `${name}: ${bytes(total)} in ${count(blocks.length)} ` +
      `block${blocks.length === 1 ? '' : 's'}, pages of ${bytes(pageSize)}, machine ${machine}.`
    );
  }

  async #sendHome(signal: AbortSignal): Promise<string> {
    const end = await startTarget(signal);
    return this.#send(
      settingsFor(end),
      `sent back; the server has written ${end.path ?? 'it'}`,
      signal,
    );
  }

  async #send(settings: ReceiveSettings, done: string, signal: AbortSignal): Promise<string> {
    const { name, pageSize, outgoing } = this.#display.shown!;
    const onProgress = ({ ram }: MigrationStatistics): void =>
      this.#say(
        'busy',
        `Sending ${name}: ${bytes(ram.total - ram.remaining)} of ${bytes(ram.total)} …`,
      );
    const { ram, 'total-time': time } = await send({
      ...settings,
      ...outgoing(),
      pageSize,
      signal,
      onProgress,
    });
    return (
      `${bytes(ram.total)} in ${seconds(time)} ${done}: ${count(ram.normal)} pages with ` +
      `content, ${count(ram.duplicate)} zero ones.`
    );
  }

  #takeFiles(): void {
    const input = byId('file', HTMLInputElement);
    const drop = byId('drop', HTMLElement);
    const take = (file: File | undefined): void => {
      if (file !== undefined && !document.body.hasAttribute('data-busy'))
        void this.#run(() => this.#open(file));
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

  #onSubmit(id: string, action: (form: FormData, signal: AbortSignal) => Promise<string>): void {
    const form = byId(id, HTMLFormElement);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run((signal) => action(new FormData(form), signal));
    });
  }

  /** Does it, and says how it ended. @param action resolves with what to say. */
  async #run(action: (signal: AbortSignal) => Promise<string>): Promise<void> {
    this.#cancelling = new AbortController();
    const { signal } = this.#cancelling;
    this.#say('busy', 'Asking …');
    this.#setBusy(true);
    try {
      this.#say('done', await action(signal));
    } catch (thrown) {
      this.#say(
        'failed',
        signal.aborted
          ? 'Cancelled.'
          : thrown instanceof MultifdError
            ? `${thrown.code}: ${thrown.message}`
            : (thrown as Error).message,
      );
    }
    this.#setBusy(false);
  }

  #say(state: State, what: string): void {
    const status = byId('status', HTMLElement);
    status.dataset['state'] = state;
    status.textContent = what;
  }

  #setBusy(busy: boolean): void {
    document.body.toggleAttribute('data-busy', busy);
    this.#cancel.hidden = !busy;
    byId('file', HTMLInputElement).disabled = busy;
    // What broke off in the middle can be looked at, but it is no memory that anything could go on
    // with.
    const complete = this.#display.shown?.devices !== undefined;
    for (const button of document.querySelectorAll<HTMLButtonElement>('.actions button')) {
      if (button !== this.#cancel)
        button.disabled = busy || (!complete && button.closest('[data-needs-memory]') !== null);
    }
  }
}

function settingsOf(form: FormData): ReceiveSettings {
  const token = String(form.get('token'));
  return {
    uri: String(form.get('uri')),
    channels: Number(form.get('channels')),
    compression: String(form.get('compression')) as Compression,
    ...(token !== '' && { token }),
  };
}

function settingsFor({ uri, channels, token }: ServerEnd): ReceiveSettings {
  return { uri, channels, token, compression: 'none' };
}
