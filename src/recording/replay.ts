import { answering } from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { type Progress, type PromiseWithProgress, withProgress } from '../util/progress.ts';
import { MultifdError } from '../util/errors.ts';
import { checkCommitTimeout } from '../migration/outgoing/options.ts';
import { notInTime, type PostcopyListener, ReturnPath } from '../migration/outgoing/return-path.ts';
import { Watchdog } from '../migration/watchdog.ts';
import { dial } from '../transport/listener.ts';
import { ConnectionOutput } from '../transport/connection-io.ts';
import type { Connection } from '../transport/connection.ts';
import { type ConnectionUri, parseConnectionUri } from '../transport/schemes.ts';
import { FirstError } from './first-error.ts';
import {
  type ConnectionId,
  openRecording,
  type RecordedFile,
  type Recording,
} from './recording.ts';
import { type Outline, readOutline } from './outline.ts';
import { type Clock, noPace, type Pace, recordedPace } from './pace.ts';
import { checkRun, RUN_NAMES, type RecordingRunOptions } from './record.ts';
import { type RecordingStatistics, Traffic } from './report.ts';

/** What `replay` takes. */
export interface ReplayOptions extends RecordingRunOptions {
  /**
   * Send each byte when it came at the recording, instead of as soon as the target takes it
   * (false).
   */
  timing?: boolean;
  /**
   * Milliseconds that the target may take, once everything has been sent, to put it in place and
   * say so (600000), while it gives signs of life; without any, `timeout` holds.
   */
  commitTimeout?: number;
}

const REPLAY_NAMES = {
  ...RUN_NAMES,
  timing: true,
  commitTimeout: true,
} as const satisfies OptionNames<ReplayOptions>;

/** Bytes of a connection that are read and sent at a time. */
const CHUNK = 256 * 1024;

/**
 * Plays a recorded migration to a listening target: every connection's bytes as they came, all
 * connections side by side.
 *
 * If the recorded source had a return path, it resolves once the target has everything. The target
 * has to be of the same shape as the one before: its blocks, channels and compression.
 * @throws MultifdError: the first thing that went wrong, at either end; ERR_RECORDING, and what
 *   the parser finds wrong at the beginning of the main stream, before anything is sent;
 *   ERR_OPTION, ERR_URI, ERR_CONNECT, ERR_TIMEOUT, ERR_REMOTE; ERR_CANCELLED after the signal.
 */
export function replay(options: ReplayOptions): PromiseWithProgress<RecordingStatistics> {
  return withProgress((progress) =>
    answering(() => play(givenOptions('replay', options, REPLAY_NAMES), progress)),
  );
}

const ofFile = (uri: string): string =>
  `${uri}: a recording is replayed over connections; give tcp:HOST:PORT, ` +
  'unix:PATH or ws://HOST:PORT/PATH';

async function play(
  options: ReplayOptions,
  progress: Progress<RecordingStatistics>,
): Promise<RecordingStatistics> {
  const uri = parseConnectionUri(options.uri, ofFile);
  const run = checkRun(options);
  const checked = {
    ...run,
    onProgress: progress.beside(run.onProgress),
    commitTimeout: checkCommitTimeout(options.commitTimeout),
  };
  const recording = await openRecording(options.path);
  try {
    const outline = await readOutline(recording.main, recording.channels.length > 0);
    return await new ReplaySession(uri, recording, {
      ...checked,
      ...outline,
      timing: options.timing ?? false,
    }).run();
  } finally {
    await recording.close();
  }
}

/** What a target asks for in postcopy comes all the same, when it is its turn. */
const IN_ITS_OWN_ORDER: PostcopyListener = {
  pagesOf: () => undefined,
  async requested() {},
  answered() {},
  received() {},
  resumed() {},
};

type CheckedReplay = ReturnType<typeof checkRun> &
  Outline & { timing: boolean; commitTimeout: number };

class ReplaySession {
  readonly #uri: ConnectionUri;
  readonly #recording: Recording;
  readonly #checked: CheckedReplay;
  readonly #total: number;
  readonly #traffic: Traffic;
  readonly #first = new FirstError();
  readonly #connections: Connection[] = [];
  readonly #pipelines: Promise<unknown>[] = [];
  #sleeping = 0;
  #sent = false;
  #overdue: ReturnType<typeof setTimeout> | undefined;
  #returnPath: ReturnPath | undefined;

  constructor(uri: ConnectionUri, recording: Recording, checked: CheckedReplay) {
    this.#uri = uri;
    this.#recording = recording;
    this.#checked = checked;
    this.#total = [recording.main, ...recording.channels].reduce((sum, { size }) => sum + size, 0);
    this.#traffic = new Traffic(this.#total);
  }

  async run(): Promise<RecordingStatistics> {
    const { signal, timeout, onProgress } = this.#checked;
    const watch = new Watchdog({
      signal,
      timeout,
      // While the recording itself has a pause, nothing is expected to move. A target's signs of
      // life count once it has been sent everything.
      progress: () =>
        this.#traffic.started && this.#sleeping === 0
          ? this.#traffic.transferred + (this.#sent ? (this.#returnPath?.messages ?? 0) : 0)
          : undefined,
      fail: this.#first.fail,
      onLook: () => {
        if (this.#traffic.started) onProgress(this.#traffic.snapshot());
      },
    });
    try {
      await this.#first.race(this.#play());
      // A connection that is just cut has broken, to a target that records it.
      await this.#first.race(
        Promise.all(this.#connections.map((connection) => connection.finish())),
      );
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      throw (await this.#returnPath?.explain(error)) ?? error;
    } finally {
      clearTimeout(this.#overdue);
      watch.stop();
      for (const connection of this.#connections) connection.destroy();
      // They read the recording's files, which are closed next.
      await Promise.allSettled(this.#pipelines);
      this.#traffic.end();
      onProgress(this.#traffic.snapshot());
    }
    return this.#traffic.snapshot();
  }

  async #play(): Promise<void> {
    const { main, channels } = this.#recording;
    // A target takes the first connection for the main channel, or waits there until it is told
    // what it is: so that one comes first, and speaks at once.
    const output = await this.#connect('main');
    const rest = Promise.all(
      channels.map((file, id) => this.#start(id, file, () => this.#connect(id))),
    );
    rest.catch(() => {}); // its waiter is told
    // A source ends its main stream when the channels have had everything, so that a target may
    // take its end for the end of all. A stream without an end is not waited for: its target may
    // not read the channels any more.
    const verified = async (): Promise<void> => {
      await rest;
      await this.#recording.verify();
    };
    const { complete } = this.#checked;
    await this.#start('main', main, async () => output, complete ? verified : undefined);
    if (!complete) await verified();
    // A recording that was broken off may leave its target waiting on any connection: all of them
    // end.
    for (const connection of this.#connections) connection.end();
    this.#sent = true;
    if (this.#returnPath === undefined) return;
    this.#overdue = setTimeout(
      () => this.#first.fail(notInTime(this.#checked.commitTimeout)),
      this.#checked.commitTimeout,
    );
    const error = await this.#returnPath.verdict;
    if (error !== undefined) throw error;
  }

  async #connect(channel: ConnectionId): Promise<ConnectionOutput> {
    const { timeout, token } = this.#checked;
    const connection = await dial(this.#uri, {
      timeout,
      token,
      signal: this.#first.signal,
      channel,
    });
    this.#connections.push(connection);
    if (this.#first.error !== undefined) {
      connection.destroy();
      throw this.#first.error;
    }
    this.#traffic.open(channel);
    const { returnPath, postcopy } = this.#checked;
    if (channel === 'main' && returnPath)
      this.#listen(new ReturnPath(connection, postcopy ? IN_ITS_OWN_ORDER : undefined));
    else connection.drain(); // what the target says is not asked for, but must not fill up
    return new ConnectionOutput(connection, channel, (bytes) => this.#traffic.add(channel, bytes));
  }

  /** A target that gives up says so, or just goes: either ends the replay at once. */
  #listen(returnPath: ReturnPath): void {
    this.#returnPath = returnPath;
    void returnPath.verdict.then((error) => {
      if (error !== undefined) this.#first.fail(error);
      else if (this.#traffic.transferred < this.#total) {
        this.#first.fail(
          new MultifdError(
            'ERR_STREAM',
            'the target said that it has everything before everything was sent',
            { channel: 'main' },
          ),
        );
      }
    });
  }

  #start(
    identified: ConnectionId,
    file: RecordedFile,
    open: () => Promise<ConnectionOutput>,
    beforeLast?: () => Promise<void>,
  ): Promise<void> {
    const pipeline = this.#pipeline(identified, file, open, beforeLast);
    pipeline.catch(this.#first.fail);
    this.#pipelines.push(pipeline);
    return pipeline;
  }

  /** @param beforeLast what the last byte waits for, once it has been read. */
  async #pipeline(
    identified: ConnectionId,
    file: RecordedFile,
    open: () => Promise<ConnectionOutput>,
    beforeLast?: () => Promise<void>,
  ): Promise<void> {
    const clock: Clock = {
      now: () => this.#traffic.milliseconds,
      signal: this.#first.signal,
      onSleep: (change) => {
        this.#sleeping += change;
      },
    };
    const pace: Pace = this.#checked.timing
      ? await recordedPace(this.#recording, identified, file.size, clock)
      : noPace(file.size);
    try {
      // A connection that says nothing can keep a target from looking at any other: it stands when
      // its first bytes are due.
      let due = await pace.next(0);
      const output = await open();
      const chunk = new Uint8Array(Math.min(CHUNK, file.size));
      for (let position = 0; position < file.size; ) {
        if (position === due) due = await pace.next(position);
        const end =
          beforeLast !== undefined && position < file.size - 1 ? Math.min(due, file.size - 1) : due;
        const count = await file.read(
          chunk.subarray(0, Math.min(chunk.length, end - position)),
          position,
        );
        position += count;
        if (position === file.size) await beforeLast?.();
        await output.write([chunk.subarray(0, count)]);
      }
    } finally {
      await pace.close();
    }
  }
}
