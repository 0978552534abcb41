import { COMPRESSION, COMPRESSION_SHIFT, DEVICE_STATE_LENGTH, FLAG_SYNC, INITIAL_LENGTH, ramHeaderLength } from '../../core/index.ts';
import { type CodecLevels, type Compression, createEncoder } from '../../compression/index.ts';
import type { ChannelContext, SendProgram } from '../../engine/program.ts';
import { connect } from '../../transport/connect.ts';
import { SocketOutput } from '../../transport/socket-output.ts';
import type { ClientTls } from '../../transport/tls-credentials.ts';
import type { SocketUri } from '../../transport/uri.ts';
import { blockIdAddress } from './areas.ts';
import { Batcher, type ChannelBasics, Counter } from './batcher.ts';
import type { SourceDescriptor } from './page-sources.ts';
import { DEVICE_STATE, DeviceStatePayload, RAM } from './payloads.ts';

export interface SendChannelData extends ChannelBasics, CodecLevels {
  uri: SocketUri;
  tls: ClientTls | undefined;
  /** Milliseconds for connecting. */
  timeout: number;
  /** 16 bytes. */
  uuid: Uint8Array;
  compression: Compression;
  sources: SourceDescriptor[];
}

/** A multifd channel, sending end: one connection, packets of RAM and of device state. */
export async function createSendChannel(context: ChannelContext<SendChannelData>): Promise<SendProgram> {
  const { id, arena, data, counters, mayBlock } = context;
  const { compression, uri, tls, timeout, uuid } = data;
  const batcher = new Batcher(context, data, data.sources);
  const { core, scratch } = batcher;
  const encoder = await createEncoder(compression, data, mayBlock);
  const flags = COMPRESSION[compression] << COMPRESSION_SHIFT;
  const headerBytes = ramHeaderLength(scratch.pages);
  const stopping = new AbortController();
  let socket: Awaited<ReturnType<typeof connect>> | undefined;
  let output: SocketOutput | undefined;

  const write = (views: Uint8Array[]): Promise<void> => output!.write(views);

  return {
    kind: 'send',
    async open() {
      socket = await connect(uri, { timeout, channel: id, signal: stopping.signal, tls });
      output = new SocketOutput(socket, id, (bytes) => {
        counters[Counter.BYTES]! += bytes;
      });
      scratch.bytes(scratch.info, uuid.length).set(uuid);
      core.fillInitial(scratch.header, scratch.info, id);
      await write([scratch.bytes(scratch.header, INITIAL_LENGTH)]);
    },
    payloads: new Map([
      [
        RAM,
        async (slot) => {
          const { batch, normal, zero, content } = batcher.prepare(slot, encoder !== undefined);
          const payload = encoder === undefined || normal === 0 ? content : await encoder.encode(content[0]!);
          const bytes = payload.reduce((sum, { length }) => sum + length, 0);
          core.fillRam(scratch.header, flags, scratch.pages, normal, zero, bytes, arena.counterOffset, blockIdAddress(arena, batch.block), batch.offsets);
          await write([scratch.bytes(scratch.header, headerBytes), ...payload]);
          counters[Counter.NORMAL]! += normal;
          counters[Counter.DUPLICATE]! += zero;
        },
      ],
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
      return write([scratch.bytes(scratch.header, headerBytes)]);
    },
    stop() {
      // A failed group: nobody is interested in what is still on its way. At a clean end nothing is.
      if (!arena.unfailed()) {
        stopping.abort();
        socket?.destroy();
      }
    },
    async close(failed) {
      encoder?.close();
      if (socket === undefined) return;
      if (failed) socket.destroy();
      else await endGracefully(socket);
    },
  };
}

/** How long a TLS target may take to hang up when it has everything. */
const FAREWELL_MS = 1_000;

/** Ends our side, and lets the kernel deliver what it has. */
function endGracefully(socket: Awaited<ReturnType<typeof connect>>): Promise<void> {
  // A target that has everything may have closed first; such a socket says so no second time.
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    if (!('encrypted' in socket)) return void socket.end(() => socket.destroy());
    // What a TLS target says on its own account (session tickets) is read, to nowhere: closed with bytes unread, the connection would be reset,
    // and what is still on its way to the target lost.
    timer = setTimeout(() => socket.destroy(), FAREWELL_MS);
    socket.resume().end();
  });
}
