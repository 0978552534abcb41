import {
  deviceSections,
  LOADED_PING,
  ping,
  postcopyAdvise,
  postcopyDiscard,
  postcopyPackage,
  postcopyResume,
  preemptEnd,
  ramEnd,
  ramSectionEnd,
  receivedBitmapWanted,
  streamEof,
} from '../../stream/index.ts';
import { ConnectionOutput } from '../../transport/connection-io.ts';
import type { Connection } from '../../transport/connection.ts';
import type { OutgoingEndpoint } from '../../transport/endpoint.ts';
import { trace } from '../../util/trace.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { OutgoingContent } from './content.ts';
import type { MainChannel } from './main-channel.ts';
import type { CheckedOutgoing } from './options.ts';
import type { SendPipeline } from './pipeline.ts';
import { PagesLeft } from './postcopy-left.ts';
import { type PageOutput, PostcopyPages, type PageRequest } from './postcopy-pages.ts';
import { PostcopyReader } from './postcopy-reader.ts';
import { PageSections } from './postcopy-sections.ts';
import { PostcopyWindow } from './postcopy-window.ts';
import type { PostcopyListener } from './return-path.ts';

/** The memory of a target is made of pages of this size at least; it asks for whole ones. */
const HOST_PAGE = 4096;
/** The PING behind ADVISE: who answers it has taken that. */
const ADVISED_PING = 1;
/** Behind the package: the target reads on while it loads it. */
const LISTENING_PING = 4;

/** How far a postcopy has come, by what the target has said. */
export type PostcopyStage =
  | 'precopy'
  /** It has taken ADVISE. */
  | 'advised'
  /** It has been sent the devices, and has not said that it has loaded them. */
  | 'switching'
  /** Its program runs, or stands still at a page that it does not have. */
  | 'running';

export interface PostcopyOptions {
  endpoint: OutgoingEndpoint;
  content: OutgoingContent;
  checked: CheckedOutgoing;
  statistics: StatisticsCollector;
}

/** The source's half of postcopy: the switch, the pages after it, and going on after a break. */
export class Postcopy implements PostcopyListener {
  readonly #options: PostcopyOptions;
  readonly #lengths: readonly number[];
  readonly #window = new PostcopyWindow();
  #pages: PostcopyPages | undefined;
  #preempt: Connection | undefined;
  #advised = false;
  #switching = false;
  #running = false;
  /** Bitmaps of a resume, by block. */
  readonly #bitmaps: Uint8Array[] = [];
  #haveBitmaps = (): void => {};
  #haveResumed = (): void => {};

  constructor(options: PostcopyOptions) {
    this.#options = options;
    this.#lengths = options.content.blocks.map(({ usedLength }) => usedLength);
  }

  /** Bytes of the pages that the target's memory is made of. */
  get #unit(): number {
    return Math.max(HOST_PAGE, this.#options.checked.pageSize);
  }

  get stage(): PostcopyStage {
    if (this.#running) return 'running';
    if (!this.#advised) return 'precopy';
    return this.#switching ? 'switching' : 'advised';
  }

  /** What follows the opening of the return path. */
  get advice(): Uint8Array[] {
    const { pageSize } = this.#options.checked;
    return [postcopyAdvise(this.#unit, pageSize), ping(ADVISED_PING)];
  }

  pagesOf(id: string): number | undefined {
    const { content, checked } = this.#options;
    const block = content.blocks.find((one) => one.id === id);
    return block && block.usedLength / checked.pageSize;
  }

  async requested(request: PageRequest): Promise<void> {
    await this.#pages?.take(request);
  }

  answered(value: number): void {
    if (value === ADVISED_PING) this.#advised = true;
    if (value === LOADED_PING) this.#running = true;
    this.#pages?.answered(value);
  }

  received(id: string, bitmap: Uint8Array): void {
    const { blocks } = this.#options.content;
    this.#bitmaps[blocks.findIndex((block) => block.id === id)] = bitmap;
    if (blocks.every((_, block) => this.#bitmaps[block] !== undefined)) this.#haveBitmaps();
  }

  resumed(): void {
    this.#haveResumed();
  }

  /**
   * The switch. Resolves when every page, and the end of the stream, has been written.
   * @param precopied every page has been sent before.
   */
  async switchOver(main: MainChannel, pipeline: SendPipeline, precopied: boolean): Promise<void> {
    const { content, statistics } = this.#options;
    const { others, tail, described = tail } = content;
    trace('source', 'postcopy: switch');
    statistics.postcopy();
    const counts = precopied ? this.#onePage() : this.#pageCounts();
    this.#prepare(main, pipeline, new PagesLeft(counts));
    this.#switching = true;
    const { pageSize } = this.#options.checked;
    // Where QEMU ends sections that go along with the RAM, too.
    if (others.after.length > 0) await main.put(others.after);
    for (const [block, { id }] of content.blocks.entries())
      if (counts[block]! > 0) await main.put(postcopyDiscard(id, counts[block]! * pageSize));
    const sections = deviceSections(described, tail.length);
    await main.put(postcopyPackage(sections), ping(LISTENING_PING));
    await this.#sendPages(main);
  }

  /** Goes on at a target that is paused, with what it does not have. */
  async resume(main: MainChannel, pipeline: SendPipeline): Promise<void> {
    const { content, statistics } = this.#options;
    const { group } = pipeline.engine;
    trace('source', 'postcopy: resume');
    statistics.postcopy();
    const bitmaps = new Promise<void>((resolve) => {
      this.#haveBitmaps = resolve;
    });
    const resumed = new Promise<void>((resolve) => {
      this.#haveResumed = resolve;
    });
    await main.put(...content.blocks.map(({ id }) => receivedBitmapWanted(id)));
    await main.flush();
    await group.race(bitmaps);
    this.#running = true;
    const left = new PagesLeft(this.#pageCounts(), this.#bitmaps);
    trace('source', () => `postcopy: ${left.count} pages are left`);
    this.#prepare(main, pipeline, left);
    await main.put(postcopyResume());
    await main.flush();
    await group.race(resumed);
    await this.#sendPages(main);
  }

  close(): void {
    this.#preempt?.destroy();
  }

  /**
   * The connection for what is asked for, where it was agreed on. The target knows it by having all
   * others; a QEMU of 7.2 does not begin, or go on, without it.
   */
  async openPreempt(): Promise<void> {
    if (!this.#options.checked.postcopyPreempt) return;
    const { endpoint, checked } = this.#options;
    const number = checked.multifd ? checked.channels : 0;
    this.#preempt = await endpoint.open(number, checked.signal);
    this.#preempt.drain();
  }

  /** Of all pages that have been sent, one to be sent again: a discard has to come. */
  #onePage(): number[] {
    const { pageSize } = this.#options.checked;
    const block = this.#pageCounts().findIndex((pages) => pages > 0);
    return this.#lengths.map((_, index) => (index === block ? this.#unit / pageSize : 0));
  }

  #pageCounts(): number[] {
    const { content, checked } = this.#options;
    return content.blocks.map(({ ignored, usedLength }) =>
      ignored ? 0 : usedLength / checked.pageSize,
    );
  }

  #prepare(main: MainChannel, pipeline: SendPipeline, left: PagesLeft): void {
    const { content, checked, statistics } = this.#options;
    const { pageSize } = checked;
    const ids = content.blocks.map(({ id }) => id);
    const output = (write: PageOutput['write']): PageOutput => ({
      sections: new PageSections(ids, pageSize, statistics),
      write,
    });
    const preempt = this.#preempt && new ConnectionOutput(this.#preempt, 'main', count);
    function count(bytes: number): void {
      statistics.mainBytes += bytes;
    }
    const pages = new PostcopyPages({
      ids,
      lengths: this.#lengths,
      pageSize,
      unit: this.#unit,
      left,
      reader: new PostcopyReader(content.blocks, pageSize),
      bandwidth: pipeline.bandwidth,
      transferred: () => statistics.transferred,
      window: this.#window,
      main: output((bytes) => main.write(bytes)),
      preempt: preempt && output((bytes) => preempt.write([bytes])),
    });
    this.#pages = pages;
    void pipeline.engine.group.failure.then((error) => pages.fail(error));
  }

  async #sendPages(main: MainChannel): Promise<void> {
    const { content, statistics } = this.#options;
    await main.flush();
    await this.#pages!.run();
    trace('source', () => `postcopy: ${this.#pages!.requests} requests`);
    // Before the target gets what lets it say that it has everything.
    await content.verify?.();
    // A QEMU of 7.2 waits for this end; later ones take it.
    await this.#preempt?.write([preemptEnd()], () => {});
    await main.put(ramEnd(), ramSectionEnd(), streamEof());
    statistics.confirmed = false;
    await main.end();
  }
}
