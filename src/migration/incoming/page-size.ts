import { concat } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import {
  FLAG_DEVICE_STATE,
  INITIAL_LENGTH,
  MAGIC,
  PACKET_PAGES_BYTES,
  RAM,
  ramHeaderLength,
} from '../../core/index.ts';
import { DEFAULT_PAGE_SIZE, isPageSize, MAX_PAGE_SIZE, MIN_PAGE_SIZE } from '../../stream/index.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';

/** As many bytes as a header has before its list of offsets. */
const HEAD = ramHeaderLength(0);

/**
 * The bytes per page of a source, by the first packet of any channel, which has room for 512 KiB of
 * pages: it says for how many. In a SYNC packet, which is the first, QEMU 10 and newer don't; its
 * length is the same, though, and shows where the next one begins.
 *
 * What has been read for it stays in the connections' `rest`.
 * @returns undefined if all connections end before it is told.
 * @throws MultifdError ERR_STREAM for packets of a length that no page size gives.
 */
export async function channelsPageSize(
  channels: readonly IdentifiedConnection[],
): Promise<number | undefined> {
  const open = new Map(channels.entries());
  const arrivals = new Map<number, Promise<number>>();
  const arrival = (id: number, { connection }: IdentifiedConnection): Promise<number> => {
    const known = arrivals.get(id) ?? connection.arrives().then(() => id);
    arrivals.set(id, known);
    return known;
  };
  for (const [id, { rest }] of open) {
    const found = pageSizeIn(rest, id);
    if (found !== undefined) return found;
  }
  while (open.size > 0) {
    const id = await Promise.race([...open].map(([id, channel]) => arrival(id, channel)));
    const channel = open.get(id)!;
    arrivals.delete(id);
    const chunk = await channel.connection.read();
    if (chunk === undefined) open.delete(id);
    else channel.rest = concat([channel.rest, chunk]);
    const found = pageSizeIn(channel.rest, id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** How many bytes behind a channel's initial packet are enough for {@link pageSizeIn}. */
export const FIRST_PACKET_BYTES = ramHeaderLength(PACKET_PAGES_BYTES / MIN_PAGE_SIZE) + 4;

/**
 * The same of bytes that are there: those behind a channel's initial packet.
 * @returns undefined if they are too few.
 */
export function pageSizeIn(bytes: Uint8Array, channel: number): number | undefined {
  if (bytes.length < HEAD) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const place = { channel, packet: 0, offset: INITIAL_LENGTH };
  // What is wrong with the packet is for the channel to say. A source begins with a RAM packet.
  const isDeviceState = (view.getUint32(RAM.flags) & FLAG_DEVICE_STATE) !== 0;
  if (view.getUint32(RAM.magic) !== MAGIC || isDeviceState) return DEFAULT_PAGE_SIZE;
  const room = view.getUint32(RAM.pagesAlloc);
  const told = PACKET_PAGES_BYTES / room;
  if (isPageSize(told)) return told;
  if (room !== 0)
    throw new MultifdError(
      'ERR_STREAM',
      `pages_alloc: a packet with room for ${room} pages, which no page size gives`,
      { ...place, field: 'pages_alloc' },
    );
  for (let size = MAX_PAGE_SIZE; size >= MIN_PAGE_SIZE; size /= 2) {
    const next = ramHeaderLength(PACKET_PAGES_BYTES / size);
    if (next + 4 > bytes.length) return undefined;
    if (view.getUint32(next) === MAGIC) return size;
  }
  throw new MultifdError(
    'ERR_STREAM',
    'the first packet is longer than any page size has it: give the page size',
    place,
  );
}
