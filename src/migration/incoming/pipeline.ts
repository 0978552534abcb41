import {
  BLOCK_ENTRY,
  blockTable,
  DEVICE_STATE_LENGTH,
  instantiateCoreSync,
} from '../../core/index.ts';
import { Receivers } from '../../engine/receivers.ts';
import type { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import type { WorkerModule } from '../../engine/threads/thread.ts';
import { MultifdError } from '../../util/errors.ts';
import { bitmapLength } from '../../stream/index.ts';
import {
  bitmapAddress,
  layOutShared,
  receivePayloadBytes,
  Scratch,
  scratchBytes,
  type SharedAreas,
} from '../../blocks/areas.ts';
import { PageTargets, type BlockTargetSpec } from '../../blocks/page-targets.ts';
import type { DeviceState } from '../../blocks/payloads.ts';
import type { ReceiveChannelData } from '../../channel/receive.ts';
import { coreFor, targetCores } from '../../blocks/cores.ts';
import {
  targetSpecs,
  type IncomingBlock,
  type IncomingSink,
  isShareable,
  reachesAll,
  writtenBytes,
} from '../../blocks/targets.ts';
import { receiveChannels, type IdentifiedConnection } from '../../channel/receive-launcher.ts';
import type { CheckedIncoming } from './options.ts';

/** What it takes to keep a DEVICE_STATE packet beside its data: its name, and the objects. */
const KEPT_WITH_PACKET = 512;

/**
 * Where an incoming migration's pages land, once its blocks are known: the channels, and this
 * thread's own way to the same targets.
 */
export class ReceivePipeline {
  readonly receivers: Receivers;
  /** What came in DEVICE_STATE packets; complete once the receivers have finished. */
  readonly deviceState: DeviceState[] = [];
  #blocks: readonly IncomingBlock[];
  readonly #areas: SharedAreas;
  /** Those of channels in this thread are the same list; workers have copies. */
  readonly #descriptors: BlockTargetSpec[];
  readonly #targets: PageTargets;
  readonly #scratch: Scratch;
  readonly #offset: DataView;
  readonly #data: readonly unknown[];
  readonly #pageSize: number;
  readonly #maxDeviceState: number;
  #deviceStateBytes = 0;

  private constructor(
    blocks: readonly IncomingBlock[],
    descriptors: BlockTargetSpec[],
    connections: readonly IdentifiedConnection[],
    cores: Pick<ReceiveChannelData, 'module' | 'targetModules'>,
    checked: CheckedIncoming,
    threads: () => WorkerModule | PrestartedWorkers,
    inline: boolean,
  ) {
    const { pageSize, compression, deviceStateLimit, maxDeviceState } = checked;
    const areas = layOutShared(
      blocks.map((block, index) => ({
        ...block,
        bitmap: descriptors[index]!.kind === 'file',
        written: writtenBytes(descriptors[index]!),
      })),
      pageSize,
    );
    const data: ReceiveChannelData = {
      ...cores,
      pageSize,
      areas,
      compression,
      deviceStateLimit,
      targets: descriptors,
    };
    const channels = receiveChannels(connections, data, inline ? undefined : threads());
    this.receivers = new Receivers({
      geometry: {
        channels: connections.length,
        clients: 0,
        payloadBytes: receivePayloadBytes(pageSize),
        scratchBytes: scratchBytes(pageSize),
        sharedBytes: areas.bytes,
      },
      launcher: channels.launcher,
      onValue: (channel, value) => this.#keep(channel, value as DeviceState),
    });
    const { arena } = this.receivers.group;
    new Uint8Array(arena.buffer).set(blockTable(blocks), arena.layout.shared);
    const core = instantiateCoreSync(arena.handle.memory, cores.module);
    this.#scratch = new Scratch(arena.buffer, arena.layout.shared + areas.main, pageSize);
    this.#descriptors = descriptors;
    this.#targets = new PageTargets(descriptors, {
      core,
      modules: cores.targetModules,
      scratch: this.#scratch,
      pageSize,
      arena,
      areas,
    });
    this.#offset = new DataView(arena.buffer, this.#scratch.spare, 8);
    this.#blocks = blocks;
    this.#areas = areas;
    this.#data = channels.data;
    this.#pageSize = pageSize;
    this.#maxDeviceState = maxDeviceState;
  }

  /**
   * @param threads of the channels; asked for only if they are to have some.
   * @throws MultifdError ERR_BLOCK_LENGTH when a target is too small for its block, and can't grow.
   */
  static async create(
    blocks: readonly IncomingBlock[],
    sink: IncomingSink,
    connections: readonly IdentifiedConnection[],
    checked: CheckedIncoming,
    threads: () => WorkerModule | PrestartedWorkers,
  ): Promise<ReceivePipeline> {
    const descriptors = targetSpecs(
      await sink.blocks(blocks, checked.pageSize),
      blocks,
      sink.zeroed,
    );
    const inline = checked.inline || !descriptors.every(isShareable);
    const cores = {
      module: await coreFor(checked.modules, inline),
      targetModules: await targetCores(descriptors, checked.modules),
    };
    return new ReceivePipeline(blocks, descriptors, connections, cores, checked, threads, inline);
  }

  /** Starts the channels. */
  async start(): Promise<void> {
    await this.receivers.start(this.#data);
  }

  /**
   * Blocks have grown, between two rounds: every channel has passed the sync before, and the one
   * that comes next publishes what is done here.
   *
   * @param blocks all of them, as before but for the lengths.
   * @throws MultifdError ERR_BLOCK_LENGTH when a target is too small for its block, and can't
   *   grow; ERR_UNSUPPORTED when the sink, or a channel's thread, can't follow.
   */
  async resize(blocks: readonly IncomingBlock[], sink: IncomingSink): Promise<void> {
    const grown = [...blocks.keys()].filter(
      (index) => blocks[index]!.usedLength > this.#blocks[index]!.usedLength,
    );
    if (grown.length === 0) return;
    const list = grown.map((index) => blocks[index]!);
    // What has another target now brings along what came so far.
    const descriptors = targetSpecs(await sink.resize(list), list, false);
    for (const [n, descriptor] of descriptors.entries())
      this.#exchange(grown[n]!, descriptor, list[n]!);
    const { arena } = this.receivers.group;
    const words = new BigUint64Array(arena.buffer);
    // In one piece: a source that sends pages where it must not has them held against either
    // length.
    for (const index of grown)
      Atomics.store(
        words,
        (arena.layout.shared + index * BLOCK_ENTRY.length + BLOCK_ENTRY.usedLength) / 8,
        BigInt(blocks[index]!.usedLength),
      );
    this.#blocks = blocks;
  }

  #exchange(index: number, descriptor: BlockTargetSpec, block: IncomingBlock): void {
    if (this.receivers.group.inline) this.#descriptors[index] = descriptor;
    else if (!reachesAll(this.#descriptors[index]!, descriptor, block)) {
      throw new MultifdError(
        'ERR_UNSUPPORTED',
        `the block ${JSON.stringify(block.id)} grew to ${block.usedLength} bytes, to where ` +
          `the channels' threads can't follow: give its WebAssembly.Memory itself for a ` +
          'target, or memory with room for it, or let the channels run inline',
      );
    }
  }

  /** A page that came on the main channel. */
  page(block: number, offset: number, content: Uint8Array): void | Promise<void> {
    return this.#targets.of(block).write(this.#list(offset), [content]);
  }

  /** A zero page that came on the main channel. */
  zeroPage(block: number, offset: number): void | Promise<void> {
    return this.#targets.of(block).zero(this.#list(offset));
  }

  /** The bitmaps of blocks that are regions of a file, in the order of the blocks. */
  bitmaps(): Uint8Array[] {
    const { arena } = this.receivers.group;
    return this.#blocks.flatMap(({ usedLength }, index) => {
      const address = bitmapAddress(arena, this.#areas, index);
      return address === undefined
        ? []
        : [new Uint8Array(arena.buffer, address, bitmapLength(usedLength, this.#pageSize))];
    });
  }

  /** It is all kept until the end of the migration, packet by packet. */
  #keep(channel: number, state: DeviceState): void {
    this.#deviceStateBytes += DEVICE_STATE_LENGTH + KEPT_WITH_PACKET + state.data.length;
    if (this.#deviceStateBytes <= this.#maxDeviceState) {
      this.deviceState.push(state);
      return;
    }
    const allowed = `the ${this.#maxDeviceState} bytes that maxDeviceState allows`;
    const why = `DEVICE_STATE packets take more than ${allowed}`;
    this.receivers.group.fail(new MultifdError('ERR_PAYLOAD', why, { channel }));
  }

  #list(offset: number): { offsets: number; count: number } {
    this.#offset.setBigUint64(0, BigInt(offset), true);
    return { offsets: this.#scratch.spare, count: 1 };
  }
}
