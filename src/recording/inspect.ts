import { INITIAL, INITIAL_LENGTH } from '../core/index.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { answering, givenPath } from '../util/checks.ts';
import { checkPageSize } from '../migration/options.ts';
import { inFile, MultifdError } from '../util/errors.ts';
import { GrowingBytes } from '../util/bytes.ts';
import { formatUuid } from '../util/bytes.ts';
import { withOldNames } from '../util/old-names.ts';
import { reportOthers, reportSections } from '../image/index.ts';
import { FIRST_PACKET_BYTES, pageSizeIn } from '../migration/incoming/page-size.ts';
import { initialChecker, type InitialChecker } from '../migration/incoming/connections.ts';
import {
  ByteReader,
  Command,
  type Configuration,
  type MainStreamHandler,
  DEFAULT_PAGE_SIZE,
  OtherCollector,
  parseMainStream,
  type ParseOptions,
  type RamBlock,
  readReturnMessage,
  readTail,
  type SyncMode,
} from '../stream/index.ts';
import { type ConnectionId, MAX_CHANNELS, openRecording, type Recording } from './recording.ts';
import { PacketChecker, PacketReader } from './packet-reader.ts';
import {
  type NamedRecordedBlock,
  type NamedRecordedChannel,
  OLD_RECORDED_BLOCK,
  OLD_RECORDED_CHANNEL,
  OLD_RECORDING,
  type RecordingReport,
} from './report.ts';
import { readTimes } from './stream-file.ts';

/** How a recording is read. */
export interface InspectRecordingOptions {
  /** The source's bytes per page (what its stream tells; 4096 if it does not). */
  pageSize?: number;
  /** The most bytes of device sections (64 MiB); they are kept in memory. */
  maxDeviceState?: number;
}

/** The names of {@link InspectRecordingOptions}. */
export const INSPECT_RECORDING_NAMES = {
  pageSize: true,
  maxDeviceState: true,
} as const satisfies OptionNames<InspectRecordingOptions>;

/**
 * Reports what is in a recording, reading it as a target would: the main channel in order, and at
 * each sync every other channel up to its own. A recording that was broken off is reported as far
 * as it goes. The memory it takes does not depend on how long the recording is, but for what
 * follows the RAM (`maxDeviceState`).
 *
 * @throws MultifdError ERR_IO; ERR_RECORDING for what is no recording; ERR_MAGIC, ERR_VERSION,
 *   ERR_STREAM and ERR_UNSUPPORTED when its main channel does not begin as a main stream.
 */
export async function inspectRecording(
  path: string,
  options: InspectRecordingOptions = {},
): Promise<RecordingReport> {
  return withRecording(path, options, async (recording) => {
    const inspection = new Inspection(recording, options);
    return inspection.run();
  });
}

/**
 * The device sections of a recorded main stream: those that came before the end of the RAM, then
 * what follows it: device sections, EOF, VMDESCRIPTION.
 * @throws MultifdError what is wrong with the main stream; ERR_IO; ERR_RECORDING.
 */
export async function readRecordingTail(
  path: string,
  options: InspectRecordingOptions = {},
): Promise<Uint8Array> {
  return withRecording(path, options, async ({ main }) => {
    const ignored = (): void => {};
    const others = new OtherCollector();
    const tail = new GrowingBytes();
    const handler: MainStreamHandler = {
      configuration: ignored,
      command: ignored,
      other: (section, chunk) => others.take(section, chunk),
      blocks: ignored,
      resize: ignored,
      zeroPage: ignored,
      page: ignored,
      flush: ignored,
      endOfSection: ignored,
      discard: ignored,
      packaged: ignored,
      tail: (chunk) => tail.append(chunk),
    };
    await parseMainStream(new ByteReader(main.source()), handler, parseOptions(options));
    return others.describedWith(tail.bytes);
  });
}

function withRecording<T>(
  path: string,
  options: InspectRecordingOptions,
  work: (recording: Recording) => Promise<T>,
): Promise<T> {
  return answering(async () => {
    const { pageSize } = givenOptions('options', options, INSPECT_RECORDING_NAMES);
    givenPath('path', path);
    if (pageSize !== undefined) checkPageSize(pageSize);
    const recording = await openRecording(path);
    try {
      const found = await work(recording);
      await recording.verify();
      return found;
    } catch (thrown) {
      throw inFile(thrown, path);
    } finally {
      await recording.close();
    }
  });
}

/** Nothing is allocated for blocks, so that they may have any length. */
function parseOptions({ pageSize, maxDeviceState }: InspectRecordingOptions): ParseOptions {
  return {
    maxBytes: Number.MAX_SAFE_INTEGER,
    ...(pageSize !== undefined && { pageSize }),
    ...(maxDeviceState !== undefined && { maxTail: maxDeviceState }),
  };
}

/**
 * A channel's part of the report, and how it is read; no reader as long as the blocks are not
 * known, or behind what is wrong in it.
 */
interface Channel {
  report: NamedRecordedChannel;
  reader: PacketReader | undefined;
}

class Inspection {
  readonly #recording: Recording;
  readonly #options: InspectRecordingOptions;
  readonly #channels: readonly Channel[];
  readonly #tail = new GrowingBytes();
  readonly #others = new OtherCollector();
  readonly #blocks: NamedRecordedBlock[] = [];
  /** By block: the last round in which pages of it came. */
  readonly #lastRound: number[] = [];
  #configuration: Configuration | undefined;
  #uuid: Uint8Array | undefined;
  #checker: PacketChecker | undefined;
  /** Bytes, once it is told. */
  #pageSize: number | undefined;
  #returnPath = false;
  #postcopy = false;
  #syncMode: SyncMode | undefined;
  #ramSections = 0;
  #syncs = 0;
  #problem: MultifdError | undefined;

  constructor(recording: Recording, options: InspectRecordingOptions) {
    this.#recording = recording;
    this.#options = options;
    this.#channels = recording.channels.map(({ size }, id) => ({
      report: { id, bytes: size, packets: 0, syncs: 0, normal: 0, duplicate: 0, 'device-state': 0 },
      reader: undefined,
    }));
  }

  async run(): Promise<RecordingReport> {
    const { main } = this.#recording;
    try {
      const reader = new ByteReader(main.source());
      const options = parseOptions(this.#options);
      const { tailOffset, tailLength } = await parseMainStream(reader, this.#handler(), options);
      const end = tailOffset + tailLength;
      if (end < main.size)
        this.#note(
          new MultifdError('ERR_STREAM', `${main.size - end} bytes follow the end of the stream`, {
            channel: 'main',
            offset: end,
          }),
        );
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      if (this.#configuration === undefined || error.code === 'ERR_IO') throw error;
      this.#note(error);
    }
    // After the last sync there is nothing in a whole recording; in one that was broken off there
    // is what the main channel does not know of.
    for (const channel of this.#channels) while (await this.#readPacket(channel));
    return this.#report();
  }

  #handler(): MainStreamHandler {
    const page = (block: number, count: 'main-normal' | 'main-duplicate'): void => {
      this.#blocks[block]![count]++;
      this.#noteRound(block);
    };
    return {
      configuration: (configuration) => {
        this.#configuration = configuration;
      },
      command: ({ command }) => {
        if (command === Command.OPEN_RETURN_PATH) this.#returnPath = true;
      },
      other: (section, chunk) => this.#others.take(section, chunk),
      blocks: (blocks, pageSize) => this.#openChannels(blocks, pageSize),
      pageSize: () => (this.#channels.length > 0 ? this.#pageSize : undefined),
      resize: (blocks) => this.#resize(blocks),
      zeroPage: (block) => page(block, 'main-duplicate'),
      page: (block, _, bytes) => {
        this.#pageSize ??= bytes.length;
        page(block, 'main-normal');
      },
      flush: () => this.#sync(),
      endOfSection: async (_, syncMode) => {
        this.#ramSections++;
        this.#syncMode = syncMode;
        // A migration without multifd has no channels to wait for, and in postcopy they rest.
        if (syncMode === 'per-round' || this.#postcopy || this.#channels.length === 0) return;
        await this.#sync();
      },
      discard() {},
      packaged: () => {
        this.#postcopy = true;
      },
      tail: (chunk) => this.#tail.append(chunk),
    };
  }

  async #openChannels(blocks: readonly RamBlock[], told: number | undefined): Promise<void> {
    this.#pageSize = told ?? (await this.#channelPageSize());
    const checker = await PacketChecker.create(blocks, this.#pageSize ?? DEFAULT_PAGE_SIZE);
    const checkInitial = await initialChecker({ uuid: undefined, channels: MAX_CHANNELS });
    this.#checker = checker;
    for (const { id, usedLength } of blocks)
      this.#blocks.push({
        id,
        'used-length': usedLength,
        normal: 0,
        duplicate: 0,
        'main-normal': 0,
        'main-duplicate': 0,
        rounds: 0,
      });
    for (const [id, file] of this.#recording.channels.entries()) {
      try {
        const uuid = await this.#readInitial(id, checkInitial);
        this.#uuid ??= uuid;
        this.#channels[id]!.reader = new PacketReader(file, id, checker);
      } catch (thrown) {
        this.#noteIn(thrown);
      }
    }
  }

  /** What the first packet of a channel tells of it. */
  async #channelPageSize(): Promise<number | undefined> {
    const first = new Uint8Array(FIRST_PACKET_BYTES);
    for (const [id, file] of this.#recording.channels.entries()) {
      const count = await file.read(first, INITIAL_LENGTH);
      try {
        const found = pageSizeIn(first.subarray(0, count), id);
        if (found !== undefined) return found;
      } catch (thrown) {
        this.#noteIn(thrown);
      }
    }
    return undefined;
  }

  /**
   * Every channel has been read to the sync before, so that no packet is held against lengths that
   * are not its round's.
   */
  #resize(blocks: readonly RamBlock[]): void {
    for (const [index, { usedLength }] of blocks.entries())
      this.#blocks[index]!['used-length'] = usedLength;
    this.#checker!.resize(blocks);
  }

  /** Gives the uuid in it. */
  async #readInitial(id: number, check: InitialChecker): Promise<Uint8Array> {
    const packet = new Uint8Array(INITIAL_LENGTH);
    for (let filled = 0; filled < packet.length; ) {
      const count = await this.#recording.channels[id]!.read(packet.subarray(filled), filled);
      if (count === 0)
        throw new MultifdError(
          'ERR_PEER_CLOSED',
          'the connection ended in the middle of its initial packet',
          { channel: id, offset: filled },
        );
      filled += count;
    }
    const said = check(packet);
    if (said !== id)
      throw new MultifdError(
        'ERR_CHANNEL_ID',
        `the file of channel ${id} is that of channel ${said}`,
        { channel: id, offset: INITIAL.id },
      );
    return packet.slice(INITIAL.uuid, INITIAL.id);
  }

  /** Reads every channel to its next SYNC, where the main channel is now. */
  async #sync(): Promise<void> {
    for (const channel of this.#channels) {
      for (const before = channel.report.syncs; channel.report.syncs === before; ) {
        if (await this.#readPacket(channel)) continue;
        this.#note(
          new MultifdError(
            'ERR_PEER_CLOSED',
            `the channel ended before sync ${this.#syncs} of the main channel`,
            { channel: channel.report.id, offset: channel.report.bytes },
          ),
        );
        break;
      }
    }
    this.#syncs++;
  }

  /** Whether there was one. */
  async #readPacket(channel: Channel): Promise<boolean> {
    const { report } = channel;
    try {
      const packet = await channel.reader?.next();
      if (packet === undefined) return false;
      report.packets++;
      report.normal += packet.normal;
      report.duplicate += packet.zero;
      if (packet.kind === 'device-state') report['device-state']++;
      if (packet.sync) report.syncs++;
      if (packet.block !== undefined) {
        const block = this.#blocks[packet.block]!;
        block.normal += packet.normal;
        block.duplicate += packet.zero;
        this.#noteRound(packet.block);
      }
      return true;
    } catch (thrown) {
      channel.reader = undefined; // what comes after it means nothing
      this.#noteIn(thrown);
      return false;
    }
  }

  #noteRound(block: number): void {
    if (this.#lastRound[block] === this.#syncs) return;
    this.#lastRound[block] = this.#syncs;
    this.#blocks[block]!.rounds++;
  }

  #noteIn(thrown: unknown): void {
    const error = MultifdError.from(thrown);
    if (error.code === 'ERR_IO' || error.code === 'ERR_RECORDING') throw error;
    this.#note(error);
  }

  /** The first problem is the one that counts. */
  #note(error: MultifdError): void {
    this.#problem ??= error;
  }

  async #report(): Promise<RecordingReport> {
    const { machine, capabilities, uuid = this.#uuid } = this.#configuration!;
    const tail = this.#tail.bytes;
    const { sections } = readTail(this.#others.describedWith(tail));
    const { main, channels } = this.#recording;
    const answered = await this.#answered();
    const duration = await this.#duration();
    const named = {
      machine,
      capabilities: [...capabilities],
      uuid: uuid === undefined || uuid.every((byte) => byte === 0) ? null : formatUuid(uuid),
      'page-size': this.#pageSize ?? DEFAULT_PAGE_SIZE,
      postcopy: this.#postcopy,
      compression: this.#checker?.compression ?? null,
      'return-path': this.#returnPath,
      answered,
      'sync-mode': channels.length === 0 ? null : (this.#syncMode ?? null),
      'ram-sections': this.#ramSections,
      syncs: this.#syncs,
      'total-time': duration,
      'precopy-bytes': main.size,
      transferred: channels.reduce((sum, { size }) => sum + size, main.size),
      blocks: this.#blocks.map((block) => withOldNames(block, OLD_RECORDED_BLOCK)),
      channels: this.#channels.map(({ report }) => withOldNames(report, OLD_RECORDED_CHANNEL)),
      sections: reportSections(sections),
      others: reportOthers(this.#others.devices),
      'tail-bytes': tail.length,
      problem: this.#problem?.toRecord() ?? null,
    };
    return withOldNames(named, OLD_RECORDING);
  }

  async #duration(): Promise<number | null> {
    let duration: number | null = null;
    for (const identified of [
      'main',
      ...this.#recording.channels.keys(),
    ] satisfies ConnectionId[]) {
      const file = await this.#recording.times(identified);
      if (file === undefined) continue;
      try {
        for await (const { milliseconds } of readTimes(file))
          duration = Math.max(duration ?? 0, milliseconds);
        await file.verify();
      } catch (thrown) {
        const error = MultifdError.from(thrown);
        if (error.code === 'ERR_IO') throw error;
        this.#note(error); // times are no part of the migration, but a replay may want them
      } finally {
        await file.close();
      }
    }
    return duration;
  }

  /** The status of the last SHUT, or null. */
  async #answered(): Promise<number | null> {
    const file = await this.#recording.answers();
    if (file === undefined) return null;
    const reader = new ByteReader(file.source());
    let status: number | null = null;
    try {
      while (true) {
        const message = await readReturnMessage(reader);
        if (message === undefined) break;
        if (message.type === 'shut') ({ status } = message);
      }
      await file.verify();
    } catch (thrown) {
      this.#noteIn(thrown);
    } finally {
      await file.close();
    }
    return status;
  }
}
