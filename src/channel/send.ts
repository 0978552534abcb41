import { trace } from '../util/trace.ts';
import { fdOutput } from '#sockets';
import { totalLength } from '../util/bytes.ts';
import {
  COMPRESSION,
  COMPRESSION_SHIFT,
  DEVICE_STATE_LENGTH,
  FLAG_SYNC,
  INITIAL_LENGTH,
  ramHeaderLength,
} from '../core/index.ts';
import { type CodecLevels, type Compression, createEncoder } from '../compression/index.ts';
import type { ChannelContext, SendProgram } from '../engine/program.ts';
import type { Slot } from '../engine/slot.ts';
import { ConnectionOutput } from '../transport/connection-io.ts';
import type { Connection, Output } from '../transport/connection.ts';
import { blockIdAddress, PACKETS_AT_ONCE } from '../blocks/areas.ts';
import { Batcher, type ChannelBasics, Counter } from '../blocks/batcher.ts';
import type { BlockSourceSpec } from '../blocks/page-sources.ts';
import { DEVICE_STATE, DeviceStatePayload, RAM, RamPayload } from '../blocks/payloads.ts';

export interface SendChannelData extends ChannelBasics, CodecLevels {
  /** 16 bytes. */
  uuid: Uint8Array;
  compression: Compression;
  sources: BlockSourceSpec[];
}

/** Opens the channel's connection; `signal` fires when it is not wanted any more. */
export type OpenChannel = (signal: AbortSignal) => Promise<Connection>;

/** A multifd channel, sending end: one connection, packets of RAM and of device state. */
export async function createSendChannel(
  context: ChannelContext<SendChannelData>,
  openChannel: OpenChannel,
): Promise<SendProgram> {
  const { id, arena, data, counters, ownThread, mayBlock } = context;
  const { compression, uuid, pageSize } = data;
  const batcher = new Batcher(context, data, data.sources);
  const { core, scratch } = batcher;
  const encoder = await createEncoder(compression, data, ownThread);
  const flags = COMPRESSION[compression] << COMPRESSION_SHIFT;
  const headerBytes = ramHeaderLength(scratch.pages);
  const headers = Array.from({ length: PACKETS_AT_ONCE }, (_, packet) =>
    scratch.bytes(scratch.header + packet * headerBytes, headerBytes),
  );
  /** Packets that are ready and not written yet, and what they are made of. */
  let waiting = 0;
  let views: Uint8Array[] = [];
  /** The last one's pages are in the slot, which the next one needs. */
  let inSlot = false;
  let atOnce = 1;
  const stopping = new AbortController();
  let connection: Connection | undefined;
  let output: Output | undefined;

  const write = (views: Uint8Array[]): void | Promise<void> => output!.write(views);

  function sendRam(slot: Slot): void | Promise<void> {
    const batch = new RamPayload(slot);
    if (batch.isRange) return sendRange(batch, 0);
    const packed = packList(batch);
    return packed === undefined ? writeAll() : packed.then(writeAll);
  }

  /** From page `done` of the range on. Synchronous where nothing has to be waited for. */
  function sendRange(batch: RamPayload, done: number): void | Promise<void> {
    const { first, pages, capacity } = batch;
    for (let normal = 0; done < pages; ) {
      const count = Math.min(capacity, pages - done);
      if (normal < count && encoder === undefined)
        normal = batcher.normalPages(
          batch,
          first + done,
          Math.min(pages - done, PACKETS_AT_ONCE * capacity),
        );
      if (done > 0) counters[Counter.PACKETS]!++; // the engine counts one for each slot
      batch.list(core, first + done, count, pageSize);
      done += count;
      // A list may have to be packed first; where all pages are normal there is none.
      const inPlace = normal >= count;
      const packed = inPlace ? packRange(batch, first + done - count, count) : packList(batch);
      normal = inPlace ? normal - count : 0;
      const written =
        packed !== undefined
          ? packed.then(writeAll)
          : waiting === atOnce || inSlot || done === pages
            ? writeAll()
            : undefined;
      if (written !== undefined) return written.then(() => sendRange(batch, done));
    }
  }

  /** Makes a packet of pages that are all normal, and where they are. */
  function packRange(batch: RamPayload, first: number, count: number): undefined {
    pack(batch, count, 0, count * pageSize);
    views.push(batcher.view(batch, first, count));
  }

  /** Makes a packet of the batch's list. */
  function packList(batch: RamPayload): void | Promise<void> {
    const { normal, zero, content, staged } = batcher.prepare(
      batch,
      encoder !== undefined && encoder.encodeInPlace === undefined,
    );
    if (encoder === undefined || normal === 0) {
      pack(batch, normal, zero, normal * pageSize);
      views.push(...content);
      inSlot = staged;
      return;
    }
    return (encoder.encodeInPlace?.(content) ?? encoder.encode(content[0]!)).then((payload) => {
      pack(batch, normal, zero, totalLength(payload));
      views.push(...payload);
    });
  }

  /** Fills the header of a packet. @param bytes of its payload. */
  function pack(batch: RamPayload, normal: number, zero: number, bytes: number): void {
    core.fillRam(
      scratch.header + waiting * headerBytes,
      flags,
      scratch.pages,
      normal,
      zero,
      bytes,
      arena.counterOffset,
      blockIdAddress(arena, batch.block),
      batch.offsets,
    );
    counters[Counter.NORMAL]! += normal;
    counters[Counter.DUPLICATE]! += zero;
    views.push(headers[waiting]!);
    waiting++;
  }

  function writeAll(): void | Promise<void> {
    const all = views;
    views = [];
    waiting = 0;
    inSlot = false;
    return write(all);
  }

  return {
    kind: 'send',
    async open() {
      trace(`source, channel ${id}`, 'connect');
      connection = await openChannel(stopping.signal);
      const onBytes = (bytes: number): void => void (counters[Counter.BYTES]! += bytes);
      output =
        (mayBlock ? fdOutput(connection, id, arena, onBytes) : undefined) ??
        new ConnectionOutput(connection, id, onBytes);
      atOnce = output.gathers ? PACKETS_AT_ONCE : 1;
      scratch.bytes(scratch.info, uuid.length).set(uuid);
      core.fillInitial(scratch.header, scratch.info, id);
      await write([scratch.bytes(scratch.header, INITIAL_LENGTH)]);
    },
    payloads: new Map([
      [RAM, sendRam],
      [
        DEVICE_STATE,
        (slot) => {
          const state = new DeviceStatePayload(slot);
          core.fillDeviceState(scratch.header, state.idstr, state.instanceId, state.data.length);
          return write([scratch.bytes(scratch.header, DEVICE_STATE_LENGTH), state.data]);
        },
      ],
    ]),
    sync() {
      counters[Counter.PACKETS]!++;
      core.fillRam(
        scratch.header,
        FLAG_SYNC,
        scratch.pages,
        0,
        0,
        0,
        arena.counterOffset,
        0,
        scratch.spare,
      );
      return write([headers[0]!]);
    },
    stop() {
      // In a failed group what is still on its way does not count. At a clean end nothing is.
      if (!arena.unfailed()) {
        stopping.abort();
        connection?.destroy();
      }
    },
    async close(failed) {
      encoder?.close();
      if (connection === undefined) return;
      if (failed) connection.destroy();
      else await connection.finish();
    },
  };
}
