import { MultifdError } from '../../errors.ts';
import { ByteReader, Command, type MainStreamHandler, parseMainStream, returnMessage } from '../../stream/index.ts';
import { ThreadStock } from '../../engine/thread-stock.ts';
import { turn } from '../../timing.ts';
import { LinkInput } from '../../transport/link-input.ts';
import type { Link } from '../../transport/link.ts';
import type { IncomingSink } from '../memory/targets.ts';
import type { Recorder } from '../statistics.ts';
import { Watch } from '../watch.ts';
import type { Connection, Connections } from './connections.ts';
import { Landing } from './landing.ts';
import type { CheckedIncoming } from './options.ts';

/** While the target makes everything last, it tells the source this often that it is alive. */
const ALIVE_MS = 1_000;

/**
 * The incoming end over connections. The main channel is parsed in order; at each sync it waits for every channel, and each channel waits for it:
 * no page of a round is applied before all of the round before.
 */
export class FromSource {
  readonly #sink: IncomingSink;
  readonly #checked: CheckedIncoming;
  readonly #recorder: Recorder;
  readonly #connections: Connections;
  #landing: Landing | undefined;
  #hasReturnPath = false;
  #link: Link | undefined;
  #input: LinkInput | undefined;
  #unwatch = (): void => {};
  #threads: ThreadStock | undefined;
  #error: MultifdError | undefined;

  constructor(connections: Connections, sink: IncomingSink, checked: CheckedIncoming, recorder: Recorder) {
    this.#connections = connections;
    this.#sink = sink;
    this.#checked = checked;
    this.#recorder = recorder;
  }

  /** @throws MultifdError: the first thing that went wrong. The sink is discarded then, and the source told. */
  async run(): Promise<void> {
    try {
      if (this.#sink.reachable && !this.#checked.inline) this.#startThreads();
      await this.#receive();
      await this.#commit();
      // Only now, with everything in place, does the source hear that it may let go.
      await this.#farewell(0);
    } catch (thrown) {
      this.#fail(MultifdError.from(thrown));
      // Nobody may touch the sink any more once it is discarded.
      await this.#landing?.receivers.group.join();
      await this.#farewell(1);
      await this.#sink.discard();
      throw this.#error;
    } finally {
      this.#connections.destroy();
      await this.#threads?.close();
    }
  }

  /** While there is no source yet: threads take some ten milliseconds of a processor to start, which its own will want then. */
  #startThreads(): void {
    this.#threads = new ThreadStock(this.#checked.worker('receive'), this.#checked.channels, 'multifd channel');
  }

  /** Ends every wait, so that {@link #receive} ends. The first error is the one that counts. */
  #fail(error: MultifdError): void {
    this.#error ??= error;
    this.#landing?.receivers.group.fail(error);
    this.#connections.abandon(error);
    this.#input?.stop();
  }

  async #receive(): Promise<void> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watch({
      signal,
      timeout,
      progress: () => (this.#recorder.started ? this.#recorder.transferred : undefined),
      fail: (error) => this.#fail(error),
      onLook: () => {
        if (this.#recorder.started) onProgress(this.#recorder.snapshot());
      },
    });
    void this.#connections.failure.then((error) => this.#fail(error));
    try {
      await this.#parse(await this.#connections.main);
      await this.#landing!.receivers.finish();
      // A source with more channels than agreed has opened them by now, each with pages that nobody reads: let what has arrived be seen.
      await turn();
      await turn();
      this.#connections.close();
    } finally {
      watch.stop();
    }
    if (this.#error !== undefined) throw this.#error;
    this.#recorder.end();
  }

  async #commit(): Promise<void> {
    const landing = this.#landing!;
    const alive = setInterval(() => this.#say({ type: 'pong', value: 0 }), ALIVE_MS);
    try {
      await this.#sink.commit({ deviceState: landing.deviceState, bitmaps: landing.bitmaps() });
      if (this.#sink.start !== undefined) await this.#start(this.#sink);
    } finally {
      clearInterval(alive);
    }
  }

  /** From here on there may be a program that runs, so that nothing but its own start fails the migration any more. */
  async #start(sink: IncomingSink): Promise<void> {
    const link = this.#link!;
    // A source that had said all it had to say, and then gave up, is silent about that: only who writes to it is told, and TCP tells it at the next write.
    for (let again = 0; again < 2; again++) {
      this.#say({ type: 'pong', value: 0 });
      await turn();
      await turn();
    }
    if (this.#checked.signal.aborted) throw new MultifdError('ERR_CANCELLED', 'the migration was cancelled here');
    if (this.#error !== undefined) throw this.#error;
    // Whoever has lost its target goes on at the source.
    if (link.closed) throw new MultifdError('ERR_PEER_CLOSED', 'the source has closed the connection before it could be told that all is well', { channel: 'main' });
    this.#unwatch();
    await sink.start?.();
  }

  async #parse({ link, rest }: Connection): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const { pageSize, maxBytes, maxDeviceState: maxTail, uuid } = this.#checked;
    const input = new LinkInput(link, 'main', rest, 0, (bytes) => {
      this.#recorder.mainBytes += bytes;
    });
    this.#link = link;
    this.#input = input;
    // While the channels are waited for nobody reads here, so nobody else would notice. (An end is none: the source may have said all it has to say.)
    this.#unwatch = link.onBroken((cause) => this.#fail(new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${cause.message}`, { channel: 'main', offset: input.offset, cause })));
    const hasUuid = uuid.some((byte) => byte !== 0);
    const limits = { pageSize, maxBytes, maxTail };
    await parseMainStream(new ByteReader(input), this.#handler(), { ...limits, ...(hasUuid && { uuid }) });
  }

  #handler(): MainStreamHandler {
    const sync = async (): Promise<void> => {
      await this.#landing!.receivers.sync();
      this.#recorder.syncs++;
    };
    return {
      configuration: (configuration) => this.#sink.configuration(configuration),
      command: ({ command, data }) => {
        if (command === Command.OPEN_RETURN_PATH) {
          this.#hasReturnPath = true;
          // What comes is taken as it comes: there is nothing here that a source would have to wait for.
          if (this.#checked.switchoverAck) this.#say({ type: 'switchover-ack' });
        }
        if (command === Command.PING) this.#say({ type: 'pong', value: new DataView(data.buffer, data.byteOffset).getUint32(0) });
      },
      blocks: async (blocks) => {
        const connections = await this.#connections.channels;
        const landing = await Landing.create(blocks, this.#sink, connections, this.#checked, () => this.#threads ?? this.#checked.worker('receive'));
        if (this.#error !== undefined) throw this.#error;
        this.#landing = landing;
        this.#recorder.blocks = [...blocks];
        this.#recorder.channels = landing.receivers.group.arena.channels.map(({ counters }) => counters);
        void landing.receivers.group.failure.then((error) => this.#fail(error));
        await landing.start();
        this.#recorder.setUp();
      },
      resize: async (blocks) => {
        await this.#landing!.resize(blocks, this.#sink);
        if (this.#error !== undefined) throw this.#error;
        this.#recorder.blocks = [...blocks];
      },
      zeroPage: (block, offset) => {
        this.#recorder.mainDuplicate++;
        return this.#landing!.zeroPage(block, offset);
      },
      page: (block, offset, bytes) => {
        this.#recorder.mainNormal++;
        return this.#landing!.page(block, offset, bytes);
      },
      flush: sync,
      endOfSection: (_, syncMode) => (syncMode === 'per-section' ? sync() : undefined),
      tail: (chunk) => this.#sink.tail(chunk),
    };
  }

  #say(message: Parameters<typeof returnMessage>[0]): void {
    if (this.#hasReturnPath && this.#link?.writable) void this.#link.write([returnMessage(message)], () => {}).catch(() => {}); // whoever reads is told
  }

  /** Tells the source how it ended, if it asked to be told. */
  async #farewell(status: number): Promise<void> {
    if (this.#hasReturnPath && this.#link !== undefined) await this.#link.farewell(returnMessage({ type: 'shut', status }), status !== 0);
  }
}
