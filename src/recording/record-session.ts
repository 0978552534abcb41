import type { FileHandle } from 'node:fs/promises';
import { MultifdError } from '../errors.ts';
import { writeFully } from '../image/index.ts';
import type { InitialChecker } from '../migration/incoming/connections.ts';
import { Watch } from '../migration/watch.ts';
import { ByteReader, Command, type MainStreamHandler, parseMainStream, returnMessage } from '../stream/index.ts';
import { turn } from '../timing.ts';
import { LinkInput } from '../transport/link-input.ts';
import type { Link } from '../transport/link.ts';
import type { Arrival } from '../transport/reception.ts';
import { FirstError } from './first-error.ts';
import { type ConnectionId, RETURN_PATH } from './names.ts';
import type { OutputFolder } from './output-folder.ts';
import type { checkRecord } from './record-options.ts';
import { type RecordingStatistics, Traffic } from './statistics.ts';
import { StreamFile } from './stream-file.ts';

/** Bytes of a multifd channel that are read and written at a time. */
const CHUNK = 64 * 1024;
/** How long connections may go on after the migration has failed, when what came is kept: a source that gives up closes all of them. */
const LAST_BYTES_MS = 1_000;

/** A connection that is being recorded. */
interface Recorded {
  link: Link;
  input: LinkInput;
  /** Resolves when all that came of it is in its file; never rejects. */
  drained: Promise<void>;
}

/** One migration on its way into a folder. */
export class RecordSession {
  readonly #folder: OutputFolder;
  readonly #checkInitial: InitialChecker;
  readonly #checked: ReturnType<typeof checkRecord>;
  readonly #traffic = new Traffic();
  readonly #connections = new Map<ConnectionId, Recorded>();
  /** Connections that are refused are closed with all others. */
  readonly #refused: Link[] = [];
  readonly #first = new FirstError();
  readonly #streamed: Promise<void>;
  #endStream!: () => void;
  /** Where the answers are kept; undefined as long as the source has not asked for any. */
  #answers: FileHandle | undefined;
  #answerBytes = 0;

  constructor(folder: OutputFolder, checkInitial: InitialChecker, checked: ReturnType<typeof checkRecord>) {
    this.#folder = folder;
    this.#checkInitial = checkInitial;
    this.#checked = checked;
    this.#streamed = new Promise((resolve) => {
      this.#endStream = resolve;
    });
  }

  /** A connection came; until {@link run} ends, any number of them may. */
  take(arrival: Arrival): void {
    try {
      this.#open(arrival);
    } catch (thrown) {
      this.#refused.push(arrival.link);
      this.#first.fail(thrown);
    }
  }

  /**
   * Waits for the migration, and gives the folder its name.
   * @param stopListening called when nothing more is expected.
   * @throws MultifdError: the first thing that went wrong. Unless it is to be kept, nothing is left then.
   */
  async run(stopListening: () => void): Promise<RecordingStatistics> {
    try {
      await this.#first.race(this.#finishWatched());
      this.#checkChannels();
      stopListening();
      this.#hangUp();
      await this.#folder.commit();
    } catch (thrown) {
      stopListening();
      await this.#giveUp(MultifdError.from(thrown));
      throw thrown;
    } finally {
      this.#traffic.end();
      this.#checked.onProgress(this.#traffic.snapshot());
    }
    return this.#traffic.snapshot();
  }

  #open({ kind, link, read }: Arrival): void {
    const id = kind === 'main' ? 'main' : this.#checkInitial(read);
    if (this.#connections.has(id)) {
      throw id === 'main'
        ? new MultifdError('ERR_CHANNEL_COUNT', 'a second main channel arrived: two sources at once?', { channel: id })
        : new MultifdError('ERR_CHANNEL_ID', `channel ${id} arrived twice`, { channel: id });
    }
    const input = new LinkInput(link, id, read, 0, (bytes) => this.#traffic.add(id, bytes));
    this.#traffic.open(id);
    const drained = this.#drain(id, link, input).catch(this.#first.fail);
    this.#connections.set(id, { link, input, drained });
    if (this.#first.error !== undefined) input.stop();
  }

  /** Everything has come: the main stream is complete, and all connections have ended. */
  async #finishWatched(): Promise<void> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watch({
      signal,
      timeout,
      progress: () => (this.#traffic.started ? this.#traffic.transferred : undefined),
      fail: this.#first.fail,
      onLook: () => {
        if (this.#traffic.started) onProgress(this.#traffic.snapshot());
      },
    });
    try {
      await this.#first.race(this.#streamed);
      for (let seen = -1; seen !== this.#connections.size; ) {
        seen = this.#connections.size;
        await this.#first.race(this.#drained());
        // A channel that was connected last may be waiting to be seen.
        await turn();
        await turn();
      }
    } finally {
      watch.stop();
    }
  }

  async #drain(id: ConnectionId, link: Link, input: LinkInput): Promise<void> {
    const file = await StreamFile.create(this.#folder, id);
    const read = async (into: Uint8Array): Promise<number> => {
      const count = await input.read(into);
      if (count > 0) await file.append(into.subarray(0, count), this.#traffic.milliseconds);
      return count;
    };
    try {
      if (id === 'main') await this.#follow(link, read);
      const chunk = new Uint8Array(CHUNK);
      while ((await read(chunk)) > 0);
    } finally {
      await file.finish();
    }
    // What comes after the stream is recorded, but a source that has heard that all is well may end its main connection as it likes.
    const { broken } = link;
    if (broken !== undefined && id !== 'main') {
      throw new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${broken.message}`, { channel: id, offset: input.offset, cause: broken });
    }
  }

  /** Reads the main stream to its end, for what it asks, and says that it has come. */
  async #follow(link: Link, read: (into: Uint8Array) => Promise<number>): Promise<void> {
    const { pageSize } = this.#checked;
    // Nothing is kept of blocks and device sections, so that they may have any length.
    const limits = { maxBytes: Number.MAX_SAFE_INTEGER, maxTail: Number.MAX_SAFE_INTEGER };
    const options = { ...limits, ...(pageSize !== undefined && { pageSize }) };
    await parseMainStream(new ByteReader({ read }), this.#answering(link), options);
    if (this.#first.error !== undefined) return;
    const shut = returnMessage({ type: 'shut', status: 0 });
    await this.#keepAnswer(shut);
    if (this.#answers !== undefined) await link.farewell(shut, false);
    this.#endStream();
  }

  #answering(link: Link): MainStreamHandler {
    return {
      configuration() {},
      command: async ({ command, data }) => {
        if (command === Command.OPEN_RETURN_PATH) this.#answers ??= await this.#folder.file(RETURN_PATH);
        if (command !== Command.PING || this.#answers === undefined) return;
        const pong = returnMessage({ type: 'pong', value: new DataView(data.buffer, data.byteOffset).getUint32(0) });
        await this.#keepAnswer(pong);
        if (link.writable) await link.write([pong], () => {}).catch(() => {}); // whoever reads is told
      },
      blocks() {},
      resize() {},
      zeroPage() {},
      page() {},
      flush() {},
      endOfSection() {},
      tail() {},
    };
  }

  async #keepAnswer(message: Uint8Array): Promise<void> {
    if (this.#answers === undefined) return;
    await writeFully(this.#answers, message, this.#answerBytes);
    this.#answerBytes += message.length;
  }

  /** A recording without one of its channels could not be replayed. */
  #checkChannels(): void {
    const { channels } = this.#checked;
    const ids = [...this.#connections.keys()].filter((id) => id !== 'main');
    if (channels !== undefined && ids.length !== channels) {
      throw new MultifdError('ERR_CHANNEL_COUNT', `${ids.length} of ${channels} channels arrived: set the same number at both ends`);
    }
    const missing = ids.findIndex((_, id) => !this.#connections.has(id));
    if (missing >= 0) throw new MultifdError('ERR_CHANNEL_COUNT', `channel ${missing} did not arrive, but one with a higher id did`, { channel: missing });
  }

  /** Leaves the folder without a name, or with what came so far if that is wanted; tells the source. */
  async #giveUp(error: MultifdError): Promise<void> {
    const { keep } = this.#checked;
    this.#first.fail(error);
    if (keep && error.code !== 'ERR_CANCELLED') await within(LAST_BYTES_MS, this.#drained());
    for (const { input } of this.#connections.values()) input.stop();
    await this.#drained();
    const main = this.#connections.get('main');
    if (main !== undefined && this.#answers !== undefined) await main.link.farewell(returnMessage({ type: 'shut', status: 1 }), true);
    this.#hangUp();
    // The error that counts is there already.
    if (keep && this.#connections.size > 0) await this.#folder.commit().catch(() => {});
    else await this.#folder.discard();
  }

  async #drained(): Promise<void> {
    await Promise.all([...this.#connections.values()].map(({ drained }) => drained));
  }

  #hangUp(): void {
    for (const { link } of this.#connections.values()) link.destroy();
    for (const link of this.#refused) link.destroy();
  }
}

/** Waits for `work`, but no longer than that. */
async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
