import { blockTable, type CoreExports, instantiateCoreSync } from '../../core/index.ts';
import type { Client } from '../../engine/client.ts';
import { Engine } from '../../engine/engine.ts';
import type { Launcher } from '../../engine/launch.ts';
import { MultifdError } from '../../util/errors.ts';
import {
  BATCH_BYTES,
  bitmapAddress,
  scratchBytes,
  sendPayloadBytes,
  type SharedAreas,
} from '../../blocks/areas.ts';
import type { ChannelBasics } from '../../blocks/batcher.ts';
import { DEVICE_STATE_BYTES, type DeviceState, DeviceStatePayload } from '../../blocks/payloads.ts';
import type { StatisticsCollector } from '../statistics.ts';
import { coreFor } from '../../blocks/cores.ts';
import { Watchdog } from '../watchdog.ts';
import { Bandwidth } from './bandwidth.ts';
import { type OutgoingContent, contentAreas } from './content.ts';
import type { RoundPlan, ZeroPageTaker } from './rounds.ts';
import { piecesOf } from './device-state.ts';
import type { CheckedOutgoing } from './options.ts';
import { RamClient, sendAllPages } from './ram-client.ts';

/** The engine's clients here: one for device state, and those of the round plan. */
const DEVICE_CLIENT = 0;
export const FIRST_CLIENT = 1;

export interface SendPipelineOptions {
  content: OutgoingContent;
  checked: CheckedOutgoing;
  statistics: StatisticsCollector;
  launcher: Launcher;
  /** Whether the channels write an image, whose bitmaps are kept in the arena. */
  writesBitmaps: boolean;
  /** What each channel's program gets, on top of the basics. */
  channelData: (basics: ChannelBasics) => unknown;
  plan: RoundPlan;
}

/**
 * The part that every outgoing migration has, whether to a target or to a file: an engine, with
 * clients for RAM and one for device state.
 */
export class SendPipeline {
  readonly engine: Engine;
  readonly areas: SharedAreas;
  readonly bandwidth: Bandwidth;
  /** The build of the core that the arena needs. */
  readonly module: WebAssembly.Module;
  readonly #options: SendPipelineOptions;
  readonly #core: CoreExports;
  readonly #devices: Client;

  private constructor(
    engine: Engine,
    areas: SharedAreas,
    module: WebAssembly.Module,
    options: SendPipelineOptions,
  ) {
    const { checked } = options;
    this.engine = engine;
    this.areas = areas;
    this.module = module;
    this.#core = instantiateCoreSync(engine.group.arena.handle.memory, module);
    this.#options = options;
    this.#devices = engine.client(DEVICE_CLIENT);
    const failed = new AbortController();
    void engine.group.failure.then(() => failed.abort());
    this.bandwidth = new Bandwidth(checked.maxBandwidth, failed.signal);
  }

  /** Lays the memory out; starts nothing. */
  static async create(options: SendPipelineOptions): Promise<SendPipeline> {
    const { content, checked, statistics, launcher, writesBitmaps, channelData, plan } = options;
    const { pageSize, channels } = checked;
    const module = await coreFor(checked.modules, launcher.inline);
    const areas = contentAreas(content, pageSize, writesBitmaps);
    const data = channelData({ module, pageSize, areas });
    const engine = new Engine({
      launcher,
      channels: new Array<unknown>(channels).fill(data),
      clients: FIRST_CLIENT + plan.clients,
      payloadBytes: sendPayloadBytes(pageSize),
      scratchBytes: scratchBytes(pageSize),
      sharedBytes: areas.bytes + BATCH_BYTES + plan.extraBytes,
    });
    const { arena } = engine.group;
    const table = blockTable(content.blocks);
    const shared = new Uint8Array(arena.buffer);
    shared.set(table, arena.layout.shared);
    for (const [index, { bitmap }] of content.blocks.entries()) {
      if (bitmap !== undefined) shared.set(bitmap, bitmapAddress(arena, areas, index)!);
    }
    statistics.blocks = content.blocks.map(({ id, usedLength }) => ({ id, usedLength }));
    statistics.channels = arena.channels.map(({ counters }) => counters);
    return new SendPipeline(engine, areas, module, options);
  }

  /**
   * Watches over it until `stop` of what it returns: cancels it on the caller's signal, fails it
   * when nothing moves.
   */
  watch(progress: () => number): Watchdog {
    const { checked, statistics } = this.#options;
    return new Watchdog({
      signal: checked.signal,
      timeout: checked.timeout,
      progress: () => (this.bandwidth.waiting ? undefined : progress()),
      fail: (error) => this.engine.group.fail(error),
      onLook: () => checked.onProgress(statistics.snapshot()),
    });
  }

  /**
   * Hands all pages to the channels.
   * @param zeroPage takes the zero pages that legacy detection finds.
   * @throws the engine's error.
   */
  async sendPages(zeroPage: ZeroPageTaker): Promise<void> {
    const { content, checked, statistics } = this.#options;
    const { arena } = this.engine.group;
    const ram = new RamClient({
      client: this.engine.client(FIRST_CLIENT),
      pageSize: checked.pageSize,
      bandwidth: this.bandwidth,
      transferred: () => statistics.transferred,
      detect: checked.zeroPageDetection === 'multifd',
      rangePages: (left) => rangePages(left, checked),
      pages: content.blocks.reduce((sum, { usedLength }) => sum + usedLength, 0) / checked.pageSize,
      staged: content.blocks.map(
        ({ descriptor }) => checked.zeroPageDetection === 'legacy' || descriptor.kind === 'staged',
      ),
    });
    const sent = await sendAllPages({
      blocks: content.blocks,
      pageSize: checked.pageSize,
      ram,
      arena,
      core: this.#core,
      staging: arena.layout.shared + this.areas.bytes,
      zeroPage: checked.zeroPageDetection === 'legacy' ? zeroPage : undefined,
    });
    if (!sent) await this.#fail();
  }

  /**
   * Hands the device state to the channels.
   * @throws MultifdError ERR_OPTION for a piece that is empty or too large; the engine's error.
   */
  async sendDeviceState(states: Iterable<DeviceState> | AsyncIterable<DeviceState>): Promise<void> {
    for await (const state of piecesOf(states, this.engine.group)) {
      if (state.data.length < 1 || state.data.length > DEVICE_STATE_BYTES) {
        throw new MultifdError(
          'ERR_OPTION',
          `device state ${JSON.stringify(state.idstr)} has ${state.data.length} bytes: give ` +
            `pieces of 1 to ${DEVICE_STATE_BYTES}`,
        );
      }
      new DeviceStatePayload(this.#devices.slot).fill(state);
      if (!(await this.#devices.sendAsync())) await this.#fail();
    }
  }

  /** Address of the plan's own bytes in the arena. */
  get extra(): number {
    return this.engine.group.arena.layout.shared + this.areas.bytes + BATCH_BYTES;
  }

  /** A block's bitmap of the pages that are present, or of those that were sent. */
  bitmap(block: number, length: number, of: 'bitmaps' | 'changes'): Uint8Array {
    const { arena } = this.engine.group;
    return new Uint8Array(arena.buffer, bitmapAddress(arena, this.areas, block, of)!, length);
  }

  async #fail(): Promise<never> {
    throw await this.engine.group.failure;
  }
}

/** The most bytes that a channel gets at once: to hand over more costs no less for each of them. */
const RANGE_BYTES = 32 * 1024 * 1024;
/** So many ranges for each channel, of what is left. */
const SHARES = 8;

/**
 * How many pages a channel gets at once: many at first, so that handing over does not count, and
 * ever fewer, so that all channels end at about the same time.
 * @param left pages that are not handed over yet.
 */
function rangePages(left: number, { channels, pageSize }: CheckedOutgoing): number {
  const bytes = Math.min(RANGE_BYTES, (left * pageSize) / (channels * SHARES));
  return Math.max(1, Math.floor(bytes / BATCH_BYTES)) * (BATCH_BYTES / pageSize);
}
