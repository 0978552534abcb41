import { randomUUID } from 'node:crypto';
import { MultifdError } from 'multifd';
import type { Answer } from '../../browser/server/page-server.ts';
import type { ServerEnd } from '../../browser/page/server.ts';
import type { Home } from '../home.ts';
import { CHANNELS } from '../messages.ts';
import { checkLine, totalLine } from '../report.ts';

/** At a port that is free. */
const ANYWHERE = 'ws://127.0.0.1:0/';

/**
 * The server's home of the database, and its ends of the migrations: each is made when the page
 * asks for it, and takes one.
 */
export class Host {
  readonly #home: Home;
  readonly #closing = new AbortController();
  /** `moving` from when one end waits for the page until all is there, or nothing has changed. */
  #state: 'here' | 'moving' | 'away' = 'here';
  #work: Promise<void> = Promise.resolve();

  /** @param home that has the database. */
  constructor(home: Home) {
    this.#home = home;
    this.#watchWriter();
  }

  async answer(path: string): Promise<Answer> {
    if (path === '/leave')
      return this.#state === 'here'
        ? { status: 200, content: await this.#leave() }
        : this.#refusal();
    if (path === '/return')
      return this.#state === 'away'
        ? { status: 200, content: await this.#return() }
        : this.#refusal();
    return { status: 404, content: 'there are /leave and /return' };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#work;
    this.#home.writer?.stop();
  }

  #refusal(): Answer {
    const reasons = {
      here: 'the database is at the server',
      moving: 'the database is on its way, or the server still waits for a page that asked for it',
      away: 'the database is in a page',
    };
    return { status: 409, content: reasons[this.#state] };
  }

  /** A source that waits for the page. */
  #leave(): Promise<ServerEnd> {
    const token = randomUUID();
    const writer = this.#home.writer!;
    return new Promise((resolve, reject) => {
      const onListening = (uri: string): void => resolve({ uri, channels: CHANNELS, token });
      const left = this.#home.migrate({
        uri: ANYWHERE,
        listen: true,
        onListening,
        token,
        signal: this.#closing.signal,
        downtimeLimit: 50,
        maxRounds: 20,
        onMaxRounds: 'stop',
        autoConverge: true,
      });
      left.catch(reject);
      this.#watch(
        'away',
        left.then(
          (statistics) => `left with transaction ${writer.committed}: ${totalLine(statistics)}`,
        ),
      );
    });
  }

  /** A target that waits for the page. */
  async #return(): Promise<ServerEnd> {
    const token = randomUUID();
    this.#state = 'moving';
    const arriving = this.#home.receive({ uri: ANYWHERE, token, signal: this.#closing.signal });
    this.#watch(
      'here',
      arriving.then(({ completed }) => completed).then(() => this.#sayReturned()),
    );
    const { uri } = await arriving;
    return { uri, channels: CHANNELS, token };
  }

  #sayReturned(): string {
    this.#watchWriter();
    return [
      `came back with transaction ${this.#home.carried!.committed}; the writer works here`,
      ...this.#home.verify().map(checkLine),
    ].join('\n');
  }

  /** @param then where the database is if it goes well; else it is where it was. */
  #watch(then: 'here' | 'away', work: Promise<string>): void {
    const before = then === 'here' ? 'away' : 'here';
    this.#state = 'moving';
    this.#work = work.then(
      (said) => {
        this.#state = then;
        console.log(said);
      },
      (error: unknown) => {
        this.#state = before;
        console.log(`${MultifdError.from(error).code}: ${(error as Error).message}`);
      },
    );
  }

  #watchWriter(): void {
    this.#home.writer!.failure.catch((error: unknown) =>
      console.error(`the writer has stopped: ${(error as Error).message}`),
    );
  }
}
