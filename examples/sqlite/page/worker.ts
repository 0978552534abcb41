/**
 * The page's thread that has the database: it is at work all the time, and the page is not to wait
 * for it.
 */
import type { LiveStatistics, MigrationStatistics } from 'multifd';
import type { ServerEnd } from '../../browser/page/server.ts';
import { Home } from '../home.ts';
import type { Report, Request } from './messages.ts';

const ACTIVITY_MS = 500;

const MODULE = new URL('/sql.js/sql-wasm.wasm', location.href);

class Work {
  readonly #home: Home;
  #activity: ReturnType<typeof setInterval> | undefined;

  constructor(home: Home) {
    this.#home = home;
  }

  async do(request: Request): Promise<void> {
    try {
      switch (request.kind) {
        case 'receive':
          return await this.#receive(request.end);
        case 'send':
          return await this.#send(request.end);
        case 'verify': {
          const checks = this.#home.verify();
          return say({ kind: 'verified', committed: this.#home.writer!.committed, checks });
        }
        case 'ask':
          return say({ kind: 'answered', answer: this.#home.ask(request.sql) });
      }
    } catch (error) {
      say({
        kind: request.kind === 'ask' ? 'refused' : 'failed',
        message: (error as Error).message,
      });
    }
  }

  async #receive({ uri, token }: ServerEnd): Promise<void> {
    const home = this.#home;
    const { completed } = await home.receive({ uri, connect: true, token, onProgress: sayMoving });
    await completed;
    const { committed, lastCommit, accounts } = home.carried!;
    say({
      kind: 'arrived',
      arrival: { committed, lastCommit, accounts, memory: home.memory.buffer.byteLength },
    });
    home.writer!.failure.catch(({ message }: Error) =>
      say({ kind: 'failed', message: `the writer has stopped: ${message}` }),
    );
    this.#activity = setInterval(() => this.#sayActivity(), ACTIVITY_MS);
  }

  async #send({ uri, token }: ServerEnd): Promise<void> {
    const home = this.#home;
    const writer = home.writer!;
    await home.migrate({
      uri,
      token,
      onProgress: sayMoving,
      downtimeLimit: 50,
      maxRounds: 20,
      onMaxRounds: 'stop',
      autoConverge: true,
    });
    clearInterval(this.#activity);
    say({ kind: 'left', committed: writer.committed });
  }

  #sayActivity(): void {
    const { writer } = this.#home;
    if (writer === undefined) return;
    const { transactions, duration } = writer.pace();
    say({
      kind: 'activity',
      activity: {
        committed: writer.committed,
        perSecond: (1000 * transactions) / duration,
        firstCommit: writer.firstCommit,
      },
    });
  }
}

function sayMoving({ ram: { transferred, total } }: LiveStatistics | MigrationStatistics): void {
  say({ kind: 'moving', transferred, total });
}

function say(report: Report): void {
  postMessage(report);
}

async function open(): Promise<Work> {
  const response = await fetch(MODULE);
  if (!response.ok) throw new Error(`${MODULE.href}: ${response.status}`);
  return new Work(await Home.open(new Uint8Array(await response.arrayBuffer())));
}

const opening = open();
opening.catch(({ message }: Error) => say({ kind: 'failed', message }));
addEventListener('message', ({ data }: MessageEvent<Request>) => {
  void opening.then(
    (work) => work.do(data),
    () => {}, // that was said
  );
});
