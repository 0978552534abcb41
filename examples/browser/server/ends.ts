import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { MultifdError, type OutgoingOptions, receive, send } from 'multifd';
import type { OfferedSource, ServerEnd } from '../page/server.ts';
import { Program } from './program.ts';

/** At a port that is free. */
const ANYWHERE = 'ws://127.0.0.1:0/';
const CHANNELS = 4;
/** Bytes per second, so that there is time to look at it. */
const PROGRAM_BANDWIDTH = 24 * 2 ** 20;
/** Ends that wait or work at a time. */
const MOST_ENDS = 8;

/** This server's ends of migrations: each is made when the page asks for it, and takes one. */
export class Ends {
  readonly #images: readonly string[];
  readonly #folder: string;
  readonly #closing = new AbortController();
  readonly #working = new Set<Promise<unknown>>();
  #targets = 0;

  /**
   * @param images paths of images that the page can receive.
   * @param folder where images go that the page sends.
   */
  constructor(images: readonly string[], folder: string) {
    this.#images = images;
    this.#folder = folder;
  }

  get sources(): OfferedSource[] {
    return [
      { name: 'program', about: 'Receive a program at work' },
      ...this.#images.map((path, index) => ({
        name: String(index),
        about: `Receive ${basename(path)}`,
      })),
    ];
  }

  get full(): boolean {
    return this.#working.size >= MOST_ENDS;
  }

  /** A source that waits for the page; undefined if there is none of that name. */
  async source(name: string): Promise<ServerEnd | undefined> {
    const image = this.#images[Number(name)];
    if (name !== 'program' && image === undefined) return undefined;
    const token = randomUUID();
    const uri = await new Promise<string>((onListening, reject) => {
      const options = {
        uri: ANYWHERE,
        listen: true,
        onListening,
        channels: CHANNELS,
        token,
        signal: this.#closing.signal,
      };
      const work = image === undefined ? migrateProgram(options) : send({ ...options, image });
      work.catch(reject);
      this.#watch(`source of ${image ?? 'the program'}`, work);
    });
    return { uri, channels: CHANNELS, token };
  }

  /** A target that waits for the page, and writes an image. */
  async target(): Promise<ServerEnd> {
    const token = randomUUID();
    const path = join(this.#folder, `received-${++this.#targets}.img`);
    const { uri, completed } = await receive({
      uri: ANYWHERE,
      channels: CHANNELS,
      token,
      image: path,
      signal: this.#closing.signal,
    });
    this.#watch(path, completed);
    return { uri, channels: CHANNELS, token, path };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#working);
  }

  #watch(what: string, work: Promise<unknown>): void {
    const working = work.then(
      () => console.log(`${what}: completed`),
      (error: unknown) =>
        console.log(`${what}: ${MultifdError.from(error).code}: ${(error as Error).message}`),
    );
    this.#working.add(working);
    void working.then(() => this.#working.delete(working));
  }
}

async function migrateProgram(options: OutgoingOptions): Promise<void> {
  const program = new Program();
  program.start();
  try {
    await program.guest.migrate({
      ...options,
      maxBandwidth: PROGRAM_BANDWIDTH,
      downtimeLimit: 50,
      autoConverge: false,
      onMaxRounds: 'stop',
      maxRounds: 12,
    });
  } finally {
    program.stop();
  }
}
