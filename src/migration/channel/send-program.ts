import { createEncoder } from '#host/codecs';
import { descriptorOutput } from '#host/descriptors';
import { COMPRESSION, COMPRESSION_SHIFT, DEVICE_STATE_LENGTH, FLAG_SYNC, INITIAL_LENGTH, ramHeaderLength } from '../../core/index.ts';
import type { CodecLevels, Compression } from '../../compression/index.ts';
import type { ChannelContext, SendProgram } from '../../engine/program.ts';
import { LinkOutput } from '../../transport/link-output.ts';
import type { Link } from '../../transport/link.ts';
import type { Output } from '../../transport/output.ts';
import { blockIdAddress, PACKETS_AT_ONCE } from './areas.ts';
import { Batcher, type ChannelBasics, Counter, type ReadyBatch } from './batcher.ts';
import type { SourceDescriptor } from './page-sources.ts';
import { DEVICE_STATE, DeviceStatePayload, RAM, RamPayload } from './payloads.ts';

export interface SendChannelData extends ChannelBasics, CodecLevels {
  /** 16 bytes. */
  uuid: Uint8Array;
  compression: Compression;
  sources: SourceDescriptor[];
}

/** Opens the channel's connection; `signal` fires when it is not wanted any more. */
export type OpenChannel = (signal: AbortSignal) => Promise<Link>;

/** A multifd channel, sending end: one connection, packets of RAM and of device state. */
export async function createSendChannel(context: ChannelContext<SendChannelData>, openChannel: OpenChannel): Promise<SendProgram> {
  const { id, arena, data, counters, ownThread, mayBlock } = context;
  const { compression, uuid, pageSize } = data;
  const batcher = new Batcher(context, data, data.sources);
  const { core, scratch } = batcher;
  const encoder = await createEncoder(compression, data, ownThread);
  const flags = COMPRESSION[compression] << COMPRESSION_SHIFT;
  const headerBytes = ramHeaderLength(scratch.pages);
  const headers = Array.from({ length: PACKETS_AT_ONCE }, (_, packet) => scratch.bytes(scratch.header + packet * headerBytes, headerBytes));
  /** Packets that are ready and not written yet, and what they are made of. */
  let waiting = 0;
  let views: Uint8Array[] = [];
  const stopping = new AbortController();
  let link: Link | undefined;
  let output: Output | undefined;

  const write = (views: Uint8Array[]): void | Promise<void> => output!.write(views);

  function sendBatch(batch: RamPayload, first: boolean, last: boolean): void | Promise<void> {
    // The engine counts one for each slot.
    if (!first) counters[Counter.PACKETS]!++;
    const ready = batcher.prepare(batch, encoder !== undefined);
    if (encoder !== undefined && ready.normal > 0) return encoder.encode(ready.content[0]!).then((payload) => {
      pack(batch, ready, payload, payload.reduce((sum, { length }) => sum + length, 0));
      return writeAll();
    });
    pack(batch, ready, ready.content, ready.normal * pageSize);
    if (last || ready.staged || waiting === PACKETS_AT_ONCE) return writeAll();
  }

  /** Makes the next of the packets that wait. @param bytes of its payload. */
  function pack(batch: RamPayload, { normal, zero }: ReadyBatch, payload: readonly Uint8Array[], bytes: number): void {
    core.fillRam(scratch.header + waiting * headerBytes, flags, scratch.pages, normal, zero, bytes, arena.counterOffset, blockIdAddress(arena, batch.block), batch.offsets);
    counters[Counter.NORMAL]! += normal;
    counters[Counter.DUPLICATE]! += zero;
    views.push(headers[waiting]!, ...payload);
    waiting++;
  }

  function writeAll(): void | Promise<void> {
    const all = views;
    views = [];
    waiting = 0;
    return write(all);
  }

  return {
    kind: 'send',
    async open() {
      link = await openChannel(stopping.signal);
      const onBytes = (bytes: number): void => void (counters[Counter.BYTES]! += bytes);
      output = (mayBlock ? descriptorOutput(link, id, arena, onBytes) : undefined) ?? new LinkOutput(link, id, onBytes);
      scratch.bytes(scratch.info, uuid.length).set(uuid);
      core.fillInitial(scratch.header, scratch.info, id);
      await write([scratch.bytes(scratch.header, INITIAL_LENGTH)]);
    },
    payloads: new Map([
      [RAM, (slot) => new RamPayload(slot).each(core, pageSize, sendBatch)],
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
      core.fillRam(scratch.header, FLAG_SYNC, scratch.pages, 0, 0, 0, arena.counterOffset, 0, scratch.spare);
      return write([headers[0]!]);
    },
    stop() {
      // A failed group: nobody is interested in what is still on its way. At a clean end nothing is.
      if (!arena.unfailed()) {
        stopping.abort();
        link?.destroy();
      }
    },
    async close(failed) {
      encoder?.close();
      if (link === undefined) return;
      if (failed) link.destroy();
      else await link.finish();
    },
  };
}
