import { absolutePath, hasStamp, imageSink, ImageUpdate, imageUpdateSink } from '#images';
import { answering, givenPath, guarding } from '../util/checks.ts';
import { givenOptions } from '../util/options.ts';
import { type Progress, type PromiseWithProgress, withProgress } from '../util/progress.ts';
import { MultifdError } from '../util/errors.ts';
import type { Stamp } from '../image/index.ts';
import { copyToSink } from '../migration/local/copy.ts';
import type { OutgoingContent } from '../migration/outgoing/content.ts';
import { openDestination } from '../migration/outgoing/destination.ts';
import { buildTail, NO_OTHERS } from '../stream/index.ts';
import { parseEndpoint } from '../transport/endpoint.ts';
import { Convergence } from './convergence.ts';
import { compileCores } from './guest-memory.ts';
import {
  type CheckedLive,
  checkLive,
  LIVE_NAMES,
  type LiveMigrationOptions,
  refusePostcopy,
  SNAPSHOT_NAMES,
  type SnapshotOptions,
} from './options.ts';
import { type CheckedGuest, checkGuest, type GuestOptions } from './guest-options.ts';
import { lengthOf, Precopy } from './precopy.ts';
import { ScanPlan } from './scan/scanner.ts';
import { LiveStatisticsCollector, type LiveStatistics } from './statistics.ts';
import { type TrackerState, emptyTrackerState } from './tracking/tracker.ts';
import { hashScratchBytes, type Lent } from './tracking/hash.ts';

/** Takes a guest's pages and state to where they go. */
type Way = (
  content: OutgoingContent,
  run: Precopy,
  statistics: LiveStatisticsCollector,
) => Promise<void>;

/**
 * The last snapshot, and what was kept of each block's pages, by block number, when it was made;
 * nothing if that is lost.
 */
interface LastSnapshot {
  path: string;
  stamp: Stamp;
  kept?: ReadonlyMap<number, TrackerState>;
}

interface MigrateOptions {
  machine: string | undefined;
  checked: CheckedLive;
  /** The program resumes in this process. */
  resumesHere: boolean;
  toFile: boolean;
}

/**
 * A running program whose memory can be moved, or kept in a file, while it works: QEMU's pre-copy,
 * for memory that has no dirty log of its own.
 *
 * Rounds go over all of its memory while it runs, each sending what has changed since the one
 * before; when the rest is little enough it is stopped, the rest and its other state follow, and it
 * goes on at the target.
 */
export class Guest {
  readonly #options: CheckedGuest;
  #busy = false;
  #last: LastSnapshot | undefined;

  /** @throws MultifdError ERR_OPTION. */
  constructor(options: GuestOptions) {
    this.#options = guarding(() => checkGuest(options));
  }

  /**
   * Moves it to a listening target, or into a mapped-ram image (`file:`). Resolves when the target
   * runs it, or the image is complete: here it stays stopped.
   * @throws MultifdError: the first thing that went wrong. The program then resumes here, as if
   *   nothing had been tried. ERR_NOT_CONVERGED after too many rounds; ERR_GUEST while another
   *   migration of this guest is under way.
   */
  migrate(options: LiveMigrationOptions): PromiseWithProgress<LiveStatistics> {
    return withProgress((progress) =>
      answering(() => {
        refusePostcopy(options);
        return this.#migrate(givenOptions('migrate', options, LIVE_NAMES), progress);
      }),
    );
  }

  async #migrate(
    options: LiveMigrationOptions,
    progress: Progress<LiveStatistics>,
  ): Promise<LiveStatistics> {
    const { pageSize } = this.#options;
    const endpoint = parseEndpoint(options);
    const checked = telling(checkLive(options, pageSize), progress);
    const destination = await openDestination(endpoint, options, checked);
    try {
      return await this.#carry(
        { machine: options.machine, checked, resumesHere: false, toFile: endpoint.kind === 'file' },
        (content, run, statistics) => destination.carry(content, statistics, run),
      );
    } finally {
      destination.close();
    }
  }

  /**
   * Writes a mapped-ram image of the running program, which is stopped for the last round only and
   * then goes on. Where `path` has this guest's last snapshot, only what has changed since is
   * written, into the same file; until all of that is on the disk the file is the old snapshot.
   * @throws MultifdError: the first thing that went wrong; no image, or the one before, is there
   *   then.
   */
  snapshot(options: SnapshotOptions): PromiseWithProgress<LiveStatistics> {
    return withProgress((progress) =>
      answering(() => this.#snapshot(givenOptions('snapshot', options, SNAPSHOT_NAMES), progress)),
    );
  }

  async #snapshot(
    options: SnapshotOptions,
    progress: Progress<LiveStatistics>,
  ): Promise<LiveStatistics> {
    const { pageSize } = this.#options;
    const { path, force = false, machine = 'none' } = options;
    const checked = telling(checkLive(options, pageSize), progress);
    const name = absolutePath(givenPath('path', path));
    const before = this.#last?.path === name ? this.#last : undefined;
    // What is there is this guest's own: it may be replaced, also where it can't be updated.
    const own = before !== undefined && (await hasStamp(path, before.stamp));
    return this.#carry(
      { machine, checked, resumesHere: true, toFile: true },
      async (content, run, statistics) => {
        const last = own && this.#last?.kept !== undefined ? this.#last : undefined;
        // What is kept goes on with the program: until this snapshot is complete it fits none.
        this.#last = own ? { path: name, stamp: before.stamp } : undefined;
        const blocks = content.blocks.map(({ id, usedLength }) => ({ id, usedLength }));
        const update =
          last &&
          (await ImageUpdate.open(path, {
            stamp: last.stamp,
            configuration: content.configuration,
            blocks,
            pageSize,
          }));
        const sink =
          update === undefined
            ? await imageSink({ path, force: force || own })
            : imageUpdateSink(update);
        if (update !== undefined) run.trustAll();
        await copyToSink(
          update === undefined ? content : withBitmaps(content, update.bitmaps()),
          sink,
          checked,
          statistics,
          run,
        );
        this.#last = { path: name, stamp: sink.stamp!, kept: await run.end() };
      },
    );
  }

  async #carry(
    { machine = 'none', checked, resumesHere, toFile }: MigrateOptions,
    way: Way,
  ): Promise<LiveStatistics> {
    if (this.#busy)
      throw new MultifdError(
        'ERR_GUEST',
        'this guest is being moved already: wait for that to end',
      );
    this.#busy = true;
    const statistics = new LiveStatisticsCollector(this.#options.pageSize);
    try {
      for (;;) {
        const { content, run } = await this.#prepare(machine, checked, resumesHere, statistics);
        if (await this.#try(() => way(content, run, statistics), run, toFile)) break;
      }
    } finally {
      this.#busy = false;
      statistics.end();
      checked.onProgress(statistics.snapshot());
    }
    return statistics.snapshot();
  }

  /** @returns whether it was done; false when it has to begin anew. */
  async #try(way: () => Promise<void>, run: Precopy, toFile: boolean): Promise<boolean> {
    try {
      await way();
      await run.end();
      return true;
    } catch (thrown) {
      // Before anything else that may take time: the program waits.
      const stuck = await run.resumeAfterFailure();
      await run.end();
      const error = MultifdError.from(thrown);
      if (stuck !== undefined) throw both(error, stuck);
      // A file's places are fixed: a program that has outgrown them while it ran gets a new file.
      if (toFile && run.outgrown && !run.stopped) return false;
      throw error;
    }
  }

  async #prepare(
    machine: string,
    checked: CheckedLive,
    resumesHere: boolean,
    statistics: LiveStatisticsCollector,
  ): Promise<{ content: OutgoingContent; run: Precopy }> {
    const guest = this.#options;
    const { blocks, pageSize, sliceMs, scanShare, scanThreads } = guest;
    const usedLengths = blocks.map(({ id, memory }) => wholePages(id, lengthOf(memory), pageSize));
    // Used by an update of the last snapshot; a migration that sends all pages overwrites it.
    const kept = blocks.map(
      ({ tracking = 'compare' }, index) =>
        this.#last?.kept?.get(index) ?? emptyTrackerState(tracking, pageSize),
    );
    if (!resumesHere) delete this.#last?.kept;
    const scan = new ScanPlan({
      blocks: blocks.map(({ memory, scratch }, index) => ({
        index,
        memory,
        kept: kept[index]!,
        scratch: scratch === undefined ? undefined : lentBytes(scratch, pageSize, scanThreads),
      })),
      modules: await compileCores(
        blocks.map(({ memory }) => memory),
        checked.modules,
      ),
      pageSize,
      threads: checked.inline ? 0 : scanThreads,
      worker: () => checked.worker('scan'),
      sliceMs,
      maxBandwidth: checked.maxBandwidth,
      transferred: () => statistics.transferred,
      onScanned: (pages) => void (statistics.scanned += pages),
    });
    const convergence = new Convergence({
      ...checked,
      scanShare,
      autoConverge: checked.autoConverge && guest.throttle !== undefined,
    });
    const extents = usedLengths.map((length) => ({ pages: length / pageSize, known: 0 }));
    const run = new Precopy({
      guest,
      checked,
      statistics,
      convergence,
      scan,
      extents,
      resumesHere,
    });
    const content: OutgoingContent = {
      configuration: { machine, capabilities: [] },
      blocks: blocks.map(({ id }, index) => ({
        id,
        byteLength: usedLengths[index]!,
        usedLength: usedLengths[index]!,
        descriptor: { kind: 'staged' },
        read: notRead,
        close() {},
      })),
      pageSize,
      others: NO_OTHERS,
      tail: buildTail([], pageSize),
      async close() {},
    };
    return { content, run };
  }
}

function telling(checked: CheckedLive, progress: Progress<LiveStatistics>): CheckedLive {
  const onProgress = progress.beside(checked.onProgress);
  return { ...checked, onProgress: onProgress as CheckedLive['onProgress'] };
}

/** The first error, and what came of it. */
function both(first: MultifdError, then: MultifdError): MultifdError {
  const told = MultifdError.fromRecord({
    ...first.toRecord(),
    message: `${first.message}; and then ${then.message}`,
  });
  told.cause = new AggregateError([first, then], told.message);
  return told;
}

/** Blocks of which an image has some pages already. */
function withBitmaps(content: OutgoingContent, bitmaps: readonly Uint8Array[]): OutgoingContent {
  return {
    ...content,
    blocks: content.blocks.map((block, index) => ({ ...block, bitmap: bitmaps[index]! })),
  };
}

/** What a caller has set aside, before it is divided among the threads. */
function lentBytes(offset: number, pageSize: number, threads: number): Lent {
  return { offset, bytes: hashScratchBytes(pageSize, Math.max(1, threads)), own: offset };
}

/** A live block's pages are handed over by the scan. */
function notRead(): never {
  throw new MultifdError('ERR_INTERNAL', 'a live block was to be read');
}

function wholePages(id: string, length: number, pageSize: number): number {
  if (length > 0 && length % pageSize === 0) return length;
  throw new MultifdError(
    'ERR_OPTION',
    `the block ${JSON.stringify(id)} has ${length} bytes: give a whole number of pages of ` +
      `${pageSize}`,
  );
}
