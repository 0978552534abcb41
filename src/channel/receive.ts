import {
  COMPRESSION,
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
import { type Compression, createDecoder } from '../compression/index.ts';
import type { ChannelContext, ReceiveProgram } from '../engine/program.ts';
import { MultifdError } from '../util/errors.ts';
import type { Input } from '../transport/connection.ts';
import { BATCH_BYTES, Scratch } from '../blocks/areas.ts';
import { type ChannelBasics, Counter } from '../blocks/batcher.ts';
import { PageTargets, type BlockTargetSpec } from '../blocks/page-targets.ts';
import type { DeviceState } from '../blocks/payloads.ts';

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
 */
export async function createReceiveChannel(
  context: ChannelContext<ReceiveChannelData>,
  openInput: OpenInput,
): Promise<ReceiveProgram> {
  const { id, arena, data, counters } = context;
  const {
    module,
    pageSize,
    areas,
    compression,
    targets: descriptors,
    targetModules,
    deviceStateLimit,
  } = data;
  const core = instantiateCoreSync(arena.handle.memory, module);
  const scratch = new Scratch(arena.buffer, context.scratch, pageSize);
  const targets = new PageTargets(descriptors, {
    core,
    modules: targetModules,
    scratch,
    pageSize,
    arena,
    areas,
  });
  const decoder = await createDecoder(compression, context.ownThread);
  const { payload, payloadOffset } = arena.channelSlot(id);
  counters[Counter.BYTES] = INITIAL_LENGTH; // read by whoever accepted the connection
  const input = openInput((bytes) => {
    counters[Counter.BYTES]! += bytes;
  });

  const offsets = payloadOffset + BATCH_BYTES;
  const packedAt = BATCH_BYTES + 8 * scratch.pages;
  const headerBytes = ramHeaderLength(scratch.pages);
  // Either header has at least this many bytes; the flags among them tell which it is.
  const head = scratch.bytes(scratch.header, DEVICE_STATE_LENGTH);
  const headRest = scratch.bytes(
    scratch.header + DEVICE_STATE_LENGTH,
    headerBytes - DEVICE_STATE_LENGTH,
  );

  const place = (offset = input.offset): { channel: number; packet: number; offset: number } => ({
    channel: id,
    packet: counters[Counter.PACKETS]!,
    offset,
  });

  function fill(views: readonly Uint8Array[]): void | Promise<void> {
    return then(input.fill(views), demand);
  }

  function demand(filled: boolean): void {
    if (!filled && arena.running())
      throw new MultifdError(
        'ERR_PEER_CLOSED',
        'the source closed the connection in the middle of a packet',
        place(),
      );
  }

  /** @returns the packet's flags. */
  async function takeDeviceState(at: number): Promise<number> {
    const refusal = core.checkDeviceState(scratch.header, deviceStateLimit, scratch.info);
    if (refusal !== 0) throw packetError(refusal, scratch.headerView, place(at));
    const bytes = new Uint8Array(scratch.infoView.getUint32(DEVICE_STATE_INFO.payload, true));
    const instanceId = scratch.infoView.getUint32(DEVICE_STATE_INFO.instanceId, true);
    const name = head.slice(DEVICE_STATE_FIELDS.idstr, DEVICE_STATE_FIELDS.instanceId);
    await fill([bytes]);
    context.emit({ idstr: decodeId(name), instanceId, data: bytes } satisfies DeviceState);
    return 0;
  }

  /** @returns the packet's flags. */
  function takeRam(at: number): number | Promise<number> {
    refuseOtherHeaders(at);
    return then(fill([headRest]), () => takeRamBehindHeader(at));
  }

  /**
   * What has another header has another length of header, too: to wait for the rest of it could
   * take for ever.
   */
  function refuseOtherHeaders(at: number): void {
    const { headerView } = scratch;
    if (headerView.getUint32(RAM_FIELDS.magic) !== MAGIC)
      throw packetError(REFUSAL.magic, headerView, place(at));
    if (headerView.getUint32(RAM_FIELDS.version) !== VERSION)
      throw packetError(REFUSAL.version, headerView, place(at));
    const pagesAlloc = headerView.getUint32(RAM_FIELDS.pagesAlloc);
    // SYNC packets of QEMU 9 and later say 0.
    if (pagesAlloc !== 0 && pagesAlloc !== scratch.pages)
      throw packetError(REFUSAL.pagesAlloc, headerView, place(at));
  }

  function takeRamBehindHeader(at: number): number | Promise<number> {
    const { infoView } = scratch;
    const refusal = core.checkRam(
      scratch.header,
      scratch.pages,
      pageSize,
      COMPRESSION[compression],
      arena.layout.shared,
      areas.blockCount,
      scratch.info,
      offsets,
    );
    if (refusal !== 0)
      throw packetError(
        refusal,
        scratch.headerView,
        place(at),
        infoView.getUint32(RAM_INFO.badPage, true),
      );
    const normal = infoView.getUint32(RAM_INFO.normal, true);
    if (normal === 0) return clearPages();
    return then(
      takePages(
        infoView.getUint32(RAM_INFO.block, true),
        normal,
        infoView.getUint32(RAM_INFO.payload, true),
      ),
      clearPages,
    );
  }

  /** The packet's zero pages, which are behind the others in its list. */
  function clearPages(): number | Promise<number> {
    const { infoView } = scratch;
    const zero = infoView.getUint32(RAM_INFO.zero, true);
    if (zero === 0) return taken();
    return then(
      targets
        .of(infoView.getUint32(RAM_INFO.block, true))
        .zero({ offsets: offsets + 8 * infoView.getUint32(RAM_INFO.normal, true), count: zero }),
      taken,
    );
  }

  function taken(): number {
    const { infoView } = scratch;
    counters[Counter.NUMBERS] = Math.max(counters[Counter.NUMBERS]!, 1 + packetNumber());
    const normal = infoView.getUint32(RAM_INFO.normal, true);
    const flags = infoView.getUint32(RAM_INFO.flags, true);
    counters[Counter.NORMAL]! += normal;
    counters[Counter.DUPLICATE]! += infoView.getUint32(RAM_INFO.zero, true);
    counters[Counter.MERGED] = normal > 0 && (flags & FLAG_SYNC) !== 0 ? 1 : 0;
    return flags;
  }

  /** One number over all channels, from 0 on. */
  function packetNumber(): number {
    const { infoView } = scratch;
    return (
      infoView.getUint32(RAM_INFO.packetNum + 4, true) * 0x1_0000_0000 +
      infoView.getUint32(RAM_INFO.packetNum, true)
    );
  }

  function takePages(block: number, count: number, bytes: number): void | Promise<void> {
    const target = targets.of(block);
    const { place } = target;
    if (place !== undefined && (decoder === undefined || decoder.decodeInPlace !== undefined)) {
      const views = runsInPlace(place, count);
      const filled =
        decoder === undefined
          ? fillInPlace(views)
          : unpack(bytes, (packed) => decoder.decodeInPlace!(packed, views));
      return then(filled, () => target.markWritten?.({ offsets, count }));
    }
    const content = payload.subarray(0, count * pageSize);
    const filled =
      decoder === undefined
        ? fill([content])
        : unpack(bytes, (packed) => decoder.decode(packed, content));
    return then(filled, () => target.write({ offsets, count }, [content]));
  }

  /**
   * A source that sends pages while its blocks grow can have them moved under a read. Views of what
   * was there before have no length then.
   */
  function fillInPlace(views: Uint8Array[]): void | Promise<void> {
    const at = input.offset;
    try {
      const filled = fill(views);
      if (filled !== undefined)
        return filled.then(
          () => demandUnmoved(views, at),
          (thrown: unknown) => unlessMoved(views, at, thrown),
        );
    } catch (thrown) {
      unlessMoved(views, at, thrown);
    }
    demandUnmoved(views, at);
  }

  function demandUnmoved(views: readonly Uint8Array[], at: number): void {
    if (views[0]!.length === 0)
      throw new MultifdError(
        'ERR_STREAM',
        'pages came between a block list and the flush behind it, while their block was ' +
          'moved to grow',
        place(at),
      );
  }

  function unlessMoved(views: readonly Uint8Array[], at: number, thrown: unknown): never {
    demandUnmoved(views, at);
    throw thrown;
  }

  async function unpack(
    bytes: number,
    decode: (packed: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const at = input.offset;
    const packed = payload.subarray(packedAt, packedAt + bytes);
    await fill([packed]);
    try {
      await decode(packed);
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      throw new MultifdError(error.code, error.message, { ...place(at), cause: thrown });
    }
  }

  function runsInPlace(
    placeRun: (offset: number, length: number) => Uint8Array,
    count: number,
  ): Uint8Array[] {
    const runs = core.runs(offsets, count, pageSize, scratch.runs);
    const views: Uint8Array[] = [];
    for (let run = 0; run < runs; run++)
      views.push(placeRun(scratch.runOffset(run), scratch.runBytes(run)));
    return views;
  }

  return {
    kind: 'receive',
    open() {},
    async run(barrier) {
      for (;;) {
        const at = input.offset;
        // Awaited only if need be, as with what is taken: a channel whose input blocks does without
        // promises from one SYNC to the next.
        const filled = input.fill([head]);
        if (!(typeof filled === 'boolean' ? filled : await filled)) return;
        const isDeviceState =
          (scratch.headerView.getUint32(RAM_FIELDS.flags) & FLAG_DEVICE_STATE) !== 0;
        const packet = isDeviceState ? takeDeviceState(at) : takeRam(at);
        const flags = typeof packet === 'number' ? packet : await packet;
        counters[Counter.PACKETS]!++;
        // A packet may bring pages along with its SYNC: they come before it.
        if ((flags & FLAG_SYNC) !== 0 && !(await barrier())) return;
      }
    },
    stop: () => input.stop(),
    close: () => decoder?.close(),
  };
}

/** Goes on with what a step has given: at once, where there was nothing to wait for. */
function then<T, R>(step: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return step instanceof Promise ? step.then(next) : next(step);
}
