import {
  COMPRESSION,
  type CoreExports,
  type CoreModules,
  decodeId,
  DEVICE_STATE as DEVICE_STATE_FIELDS,
  DEVICE_STATE_INFO,
  DEVICE_STATE_LENGTH,
  FLAG_DEVICE_STATE,
  FLAG_SYNC,
  INITIAL_LENGTH,
  instantiateCoreSync,
  MAGIC,
  packetError,
  RAM as RAM_FIELDS,
  RAM_INFO,
  ramHeaderLength,
  REFUSAL,
  VERSION,
} from '../core/index.ts';
import { type Compression, createDecoder, type Decoder } from '../compression/index.ts';
import type { ChannelContext, ReceiveProgram } from '../engine/program.ts';
import type { Input } from '../transport/connection.ts';
import { Scratch } from '../blocks/areas.ts';
import { PayloadInput, type Position, then } from './payload-input.ts';
import { type ChannelBasics, Counter } from '../blocks/batcher.ts';
import { PageTargets, type BlockTargetSpec } from '../blocks/page-targets.ts';
import type { DeviceState } from '../blocks/payloads.ts';
import { trace } from '../util/trace.ts';

export interface ReceiveChannelData extends ChannelBasics {
  compression: Compression;
  targets: BlockTargetSpec[];
  targetModules: CoreModules;
  /** Largest device-state payload taken, in bytes. */
  deviceStateLimit: number;
}

/** Opens what the channel reads. `onBytes` is told of all that arrives. */
export type OpenInput = (onBytes: (bytes: number) => void) => Input;

/**
 * A multifd channel, receiving end: reads packets, checks them, and puts their pages where they
 * belong.
 * @param onClose called once the channel has closed.
 */
export async function createReceiveChannel(
  context: ChannelContext<ReceiveChannelData>,
  openInput: OpenInput,
  onClose: () => void = () => {},
): Promise<ReceiveProgram> {
  const { counters, data, ownThread } = context;
  const decoder = await createDecoder(data.compression, ownThread);
  counters[Counter.BYTES] = INITIAL_LENGTH; // read by the thread that accepted the connection
  const input = openInput((bytes) => {
    counters[Counter.BYTES]! += bytes;
  });
  return new ReceiveChannel(context, input, decoder, onClose);
}

class ReceiveChannel implements ReceiveProgram {
  readonly kind = 'receive';
  readonly #context: ChannelContext<ReceiveChannelData>;
  readonly #input: Input;
  readonly #decoder: Decoder | undefined;
  readonly #onClose: () => void;
  readonly #core: CoreExports;
  readonly #scratch: Scratch;
  readonly #targets: PageTargets;
  readonly #payload: PayloadInput;
  readonly #position: Position;
  /** Either header has at least this many bytes; the flags among them tell which it is. */
  readonly #head: Uint8Array;
  readonly #headRest: Uint8Array;

  constructor(
    context: ChannelContext<ReceiveChannelData>,
    input: Input,
    decoder: Decoder | undefined,
    onClose: () => void,
  ) {
    const { id, arena, counters, data } = context;
    const { module, pageSize, areas, targets, targetModules } = data;
    const core = instantiateCoreSync(arena.handle.memory, module);
    const scratch = new Scratch(arena.buffer, context.scratch, pageSize);
    const modules = targetModules;
    this.#context = context;
    this.#input = input;
    this.#decoder = decoder;
    this.#onClose = onClose;
    this.#core = core;
    this.#scratch = scratch;
    this.#targets = new PageTargets(targets, { core, modules, scratch, pageSize, arena, areas });
    this.#position = (offset = input.offset) => ({
      channel: id,
      packet: counters[Counter.PACKETS]!,
      offset,
    });
    this.#payload = new PayloadInput({
      core,
      input,
      decoder,
      targets: this.#targets,
      scratch,
      pageSize,
      slot: arena.channelSlot(id),
      position: this.#position,
      running: () => arena.running(),
    });
    const { header } = scratch;
    const rest = ramHeaderLength(scratch.pages) - DEVICE_STATE_LENGTH;
    this.#head = scratch.bytes(header, DEVICE_STATE_LENGTH);
    this.#headRest = scratch.bytes(header + DEVICE_STATE_LENGTH, rest);
  }

  open(): void {
    trace(`target, channel ${this.#context.id}`, 'open');
  }

  async run(barrier: () => boolean | Promise<boolean>): Promise<void> {
    const { counters } = this.#context;
    const head = [this.#head];
    for (;;) {
      const at = this.#input.offset;
      // Awaited only if need be, as with what is taken: a channel whose input blocks does without
      // promises from one SYNC to the next.
      const filled = this.#input.fill(head);
      if (!(typeof filled === 'boolean' ? filled : await filled)) return;
      const flagsSeen = this.#scratch.headerView.getUint32(RAM_FIELDS.flags);
      const isDeviceState = (flagsSeen & FLAG_DEVICE_STATE) !== 0;
      const packet = isDeviceState ? this.#takeDeviceState(at) : this.#takeRam(at);
      const flags = typeof packet === 'number' ? packet : await packet;
      counters[Counter.PACKETS]!++;
      // A packet may bring pages along with its SYNC: they come before it.
      if ((flags & FLAG_SYNC) !== 0 && !(await barrier())) return;
    }
  }

  stop(): void {
    this.#input.stop();
  }

  close(): void {
    trace(`target, channel ${this.#context.id}`, 'close');
    this.#decoder?.close();
    this.#onClose();
  }

  /** @returns the packet's flags. */
  async #takeDeviceState(at: number): Promise<number> {
    const { header, headerView, info, infoView } = this.#scratch;
    const { deviceStateLimit } = this.#context.data;
    const refusal = this.#core.checkDeviceState(header, deviceStateLimit, info);
    if (refusal !== 0) throw packetError(refusal, headerView, this.#position(at));
    const bytes = new Uint8Array(infoView.getUint32(DEVICE_STATE_INFO.payload, true));
    const instanceId = infoView.getUint32(DEVICE_STATE_INFO.instanceId, true);
    const name = this.#head.slice(DEVICE_STATE_FIELDS.idstr, DEVICE_STATE_FIELDS.instanceId);
    await this.#payload.fill([bytes]);
    const idstr = decodeId(name);
    this.#context.emit({ idstr, instanceId, data: bytes } satisfies DeviceState);
    return 0;
  }

  /** @returns the packet's flags. */
  #takeRam(at: number): number | Promise<number> {
    this.#refuseOtherHeaders(at);
    return then(this.#payload.fill([this.#headRest]), () => this.#takeRamBehindHeader(at));
  }

  /**
   * What has another header has another length of header, too: to wait for the rest of it could
   * take for ever.
   */
  #refuseOtherHeaders(at: number): void {
    const { headerView, pages } = this.#scratch;
    if (headerView.getUint32(RAM_FIELDS.magic) !== MAGIC)
      throw packetError(REFUSAL.magic, headerView, this.#position(at));
    if (headerView.getUint32(RAM_FIELDS.version) !== VERSION)
      throw packetError(REFUSAL.version, headerView, this.#position(at));
    const pagesAlloc = headerView.getUint32(RAM_FIELDS.pagesAlloc);
    // SYNC packets of QEMU 9 and later say 0.
    if (pagesAlloc !== 0 && pagesAlloc !== pages)
      throw packetError(REFUSAL.pagesAlloc, headerView, this.#position(at), 0, {
        pageSize: this.#context.data.pageSize,
      });
  }

  #takeRamBehindHeader(at: number): number | Promise<number> {
    const { header, headerView, info, infoView, pages } = this.#scratch;
    const { arena, data } = this.#context;
    const refusal = this.#core.checkRam(
      header,
      pages,
      data.pageSize,
      COMPRESSION[data.compression],
      arena.layout.shared,
      data.areas.blockCount,
      info,
      this.#payload.offsets,
    );
    if (refusal !== 0) {
      const badPage = infoView.getUint32(RAM_INFO.badPage, true);
      throw packetError(refusal, headerView, this.#position(at), badPage, data);
    }
    const normal = infoView.getUint32(RAM_INFO.normal, true);
    if (normal === 0) return this.#clearPages();
    const block = infoView.getUint32(RAM_INFO.block, true);
    const bytes = infoView.getUint32(RAM_INFO.payload, true);
    return then(this.#payload.takePages(block, normal, bytes), () => this.#clearPages());
  }

  /** The packet's zero pages, which are behind the others in its list. */
  #clearPages(): number | Promise<number> {
    const { infoView } = this.#scratch;
    const count = infoView.getUint32(RAM_INFO.zero, true);
    if (count === 0) return this.#taken();
    const offsets = this.#payload.offsets + 8 * infoView.getUint32(RAM_INFO.normal, true);
    const target = this.#targets.of(infoView.getUint32(RAM_INFO.block, true));
    return then(target.zero({ offsets, count }), () => this.#taken());
  }

  #taken(): number {
    const { infoView } = this.#scratch;
    const { counters } = this.#context;
    const normal = infoView.getUint32(RAM_INFO.normal, true);
    const flags = infoView.getUint32(RAM_INFO.flags, true);
    counters[Counter.NUMBERS] = Math.max(counters[Counter.NUMBERS]!, 1 + this.#packetNumber());
    counters[Counter.NORMAL]! += normal;
    counters[Counter.DUPLICATE]! += infoView.getUint32(RAM_INFO.zero, true);
    counters[Counter.MERGED] = normal > 0 && (flags & FLAG_SYNC) !== 0 ? 1 : 0;
    return flags;
  }

  /** One number over all channels, from 0 on. */
  #packetNumber(): number {
    const { infoView } = this.#scratch;
    return (
      infoView.getUint32(RAM_INFO.packetNum + 4, true) * 0x1_0000_0000 +
      infoView.getUint32(RAM_INFO.packetNum, true)
    );
  }
}
