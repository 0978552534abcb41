import { startThread } from '#threads';
import { MultifdError } from '../../util/errors.ts';
import { GRACE_MS, begin, type Thread, type WorkerModule } from '../../engine/threads/thread.ts';
import type { SendPipeline } from '../../migration/outgoing/pipeline.ts';
import { posted } from '../guest-memory.ts';
import type { TrackerState } from '../tracking/tracker.ts';
import type { ScanEvent, ScanOrder, ScanStart } from './messages.ts';
import type { PassOrder, PassResult, Scanner, ScannerOptions } from './scanner.ts';

export interface WorkerScannerOptions extends ScannerOptions {
  pipeline: SendPipeline;
  module: WorkerModule;
  part: number;
  parts: number;
  maxBandwidth: number;
}

/** Scans shared memory in a thread of its own. */
export class WorkerScanner implements Scanner {
  readonly #pipeline: SendPipeline;
  readonly #thread: Thread;
  readonly #gone: Promise<void>;
  readonly #numbers: readonly number[];
  readonly #onScanned: (pages: number) => void;
  readonly #part: number;
  readonly #parts: number;
  #ending = false;
  #answer: ((event: ScanEvent) => void) | undefined;

  constructor({
    pipeline,
    module,
    part,
    parts,
    blocks,
    modules,
    pageSize,
    clients,
    hashAddress,
    maxBandwidth,
    onScanned,
  }: WorkerScannerOptions) {
    const { arena } = pipeline.engine.group;
    const start: ScanStart = {
      arena: arena.handle,
      modules: { ...modules, shared: pipeline.module },
      pageSize,
      clients,
      part,
      parts,
      blocks: blocks.map(({ index, memory, kept, scratch }) => ({
        index,
        memory: posted(memory),
        kept,
        scratch,
      })),
      hashAddress,
      maxBandwidth,
    };
    this.#pipeline = pipeline;
    this.#numbers = blocks.map(({ index }) => index);
    this.#onScanned = onScanned;
    this.#part = part;
    this.#parts = parts;
    const died = (why: unknown): void =>
      pipeline.engine.group.fail(MultifdError.from(why, 'ERR_ENGINE'));
    this.#thread = startThread(module, {
      name: `multifd scan ${part}`,
      onMessage: (message) => {
        const event = message as ScanEvent;
        if (event.kind === 'failed')
          pipeline.engine.group.fail(MultifdError.fromRecord(event.error));
        else this.#answer?.(event);
      },
      onError: died,
    });
    this.#gone = this.#thread.gone.then(() => {
      if (!this.#ending)
        died(
          new MultifdError(
            'ERR_ENGINE',
            'a thread that looks for changes has ended before its work did',
          ),
        );
    });
    begin(this.#thread, start);
  }

  async pass({ extents, live }: PassOrder): Promise<PassResult> {
    const event = await this.#ask({ kind: 'pass', extents, limited: live });
    if (event.kind !== 'passed')
      throw new MultifdError('ERR_INTERNAL', `a scanning thread answered ${event.kind}`);
    this.#onScanned(event.count.scanned);
    return event;
  }

  async end(): Promise<ReadonlyMap<number, TrackerState>> {
    this.#ending = true;
    // A thread that is still in a pass, since the engine has failed, ends that first.
    const overdue = setTimeout(() => this.#thread.terminate(), GRACE_MS);
    const ended = new Promise<ScanEvent | undefined>((resolve) => {
      this.#answer = (event) => {
        if (event.kind === 'ended') resolve(event);
      };
      void this.#gone.then(() => resolve(undefined));
    });
    this.#thread.post({ kind: 'end' } satisfies ScanOrder);
    const event = await ended;
    await this.#gone;
    clearTimeout(overdue);
    if (event?.kind !== 'ended') return new Map();
    return new Map(
      event.kept.map((kept, n) => [this.#numbers[n]!, ownPart(kept, this.#part, this.#parts)]),
    );
  }

  #ask(order: ScanOrder): Promise<ScanEvent> {
    const answered = new Promise<ScanEvent>((resolve) => {
      this.#answer = resolve;
    });
    this.#thread.post(order);
    return this.#pipeline.engine.group.race(answered);
  }
}

/** Without the segments that other threads have kept. */
function ownPart(kept: TrackerState, part: number, parts: number): TrackerState {
  if (kept.method === 'bitmap') return kept;
  return {
    ...kept,
    segments: new Map([...kept.segments].filter(([number]) => number % parts === part)),
  };
}
