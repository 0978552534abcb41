import { formatUuid } from '../util/bytes.ts';
import { guarding, inWords, refuse } from '../util/checks.ts';
import { MultifdError, type ErrorCode, type ErrorPlace } from '../util/errors.ts';
import {
  COMPRESSION,
  COMPRESSION_MASK,
  COMPRESSION_SHIFT,
  DEVICE_STATE,
  ID_LENGTH,
  INITIAL,
  PACKET_PAGES_BYTES,
  RAM,
} from './layout.ts';
import { quoteId } from './names.ts';
import { numbersOf } from './numbers.ts';
import { Refusal as Reason } from './packet-layout.ts';

/**
 * What the core's `check...` functions return for a packet that is refused; 0 stands for one that
 * is right.
 */
export const REFUSAL = (({ none: _, ...refusals }) => refusals)(numbersOf(Reason));

type Refusal = (typeof REFUSAL)[keyof typeof REFUSAL];

interface Explanation {
  code: ErrorCode;
  /** The field's name in QEMU. */
  field: string;
  /** The value as it came, from the packet and (for a page offset) the page's index in it. */
  value: (packet: DataView, page: number) => string;
  /** What is wrong with it, and what to do: the end of a sentence that starts with the value. */
  problem: string | ((agreed: Agreed) => string);
}

/** What this end has, for messages that say both. */
export interface Agreed {
  /** 16 bytes. */
  readonly uuid?: Uint8Array;
  /** How many. */
  readonly channels?: number;
  /** Bytes. */
  readonly pageSize?: number;
  /** Its name. */
  readonly compression?: keyof typeof COMPRESSION;
}

/** A value in a sentence, if it is known. */
const known = (value: unknown, before: string): string =>
  value === undefined ? '' : `${before}${String(value)}`;

const EXPLANATIONS: Readonly<Record<Refusal, Explanation>> = {
  [REFUSAL.magic]: {
    code: 'ERR_MAGIC',
    field: 'magic',
    value: hex32(RAM.magic),
    problem: 'is not 0x11223344: the peer speaks another protocol, or the stream is out of step',
  },
  [REFUSAL.version]: {
    code: 'ERR_VERSION',
    field: 'version',
    value: decimal32(RAM.version),
    problem: 'is not 1, the only version known: use a peer that speaks it',
  },
  [REFUSAL.uuid]: {
    code: 'ERR_UUID',
    field: 'uuid',
    value: (packet) => formatUuid(bytesAt(packet, INITIAL.uuid, 16)),
    problem: ({ uuid }) =>
      `is not the uuid expected here${known(uuid && formatUuid(uuid), ', ')}: set the same one ` +
      'at both ends',
  },
  [REFUSAL.channelId]: {
    code: 'ERR_CHANNEL_ID',
    field: 'id',
    value: (packet) => String(packet.getUint8(INITIAL.id)),
    problem: ({ channels }) =>
      `is beyond the number of channels${known(channels, ', ')}, whose ids start at 0: set the ` +
      'same number at both ends',
  },
  [REFUSAL.flags]: {
    code: 'ERR_PACKET',
    field: 'flags',
    value: hex32(RAM.flags),
    problem:
      'has bits that a RAM packet does not know: only SYNC (bit 0) and compression (bits 1 ' +
      'to 5) are',
  },
  [REFUSAL.pagesAlloc]: {
    code: 'ERR_PACKET',
    field: 'pages_alloc',
    value: pagesAlloc,
    problem: ({ pageSize }) =>
      'is not the number of pages per packet here, 512 KiB / page size' +
      `${known(pageSize, ' of ')}: set the same page size at both ends`,
  },
  [REFUSAL.normalPages]: {
    code: 'ERR_PACKET',
    field: 'normal_pages',
    value: decimal32(RAM.normalPages),
    problem: 'is more than a packet holds: the stream is broken',
  },
  [REFUSAL.zeroPages]: {
    code: 'ERR_PACKET',
    field: 'zero_pages',
    value: decimal32(RAM.zeroPages),
    problem: 'is, with the normal pages, more than a packet holds: the stream is broken',
  },
  [REFUSAL.compression]: {
    code: 'ERR_COMPRESSION',
    field: 'flags',
    value: (packet) => `${hex32(RAM.flags)(packet, 0)}, compression ${methodOf(packet)},`,
    problem: ({ compression }) =>
      `has another compression in bits 1 to 5 than agreed${known(compression, ', ')}: set the ` +
      'same one at both ends',
  },
  [REFUSAL.ramblockUnterminated]: {
    code: 'ERR_BLOCK',
    field: 'ramblock',
    value: id(RAM.ramblock),
    problem: 'has no NUL within its 256 bytes: the stream is broken',
  },
  [REFUSAL.ramblockUnknown]: {
    code: 'ERR_BLOCK',
    field: 'ramblock',
    value: id(RAM.ramblock),
    problem: 'is no RAM block known here: both ends need the same blocks',
  },
  [REFUSAL.pageUnaligned]: {
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
    value: pageOffset,
    problem: 'is not on a page boundary: set the same page size at both ends',
  },
  [REFUSAL.pageOutside]: {
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
    value: pageOffset,
    problem:
      'lies, with its page, beyond the end of its block: both ends need blocks of the same length',
  },
  [REFUSAL.payload]: {
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
    value: (packet) =>
      `${packet.getUint32(RAM.nextPacketSize)} bytes for ` +
      `${packet.getUint32(RAM.normalPages)} pages`,
    problem: 'is not what so many pages make: set the same compression and page size at both ends',
  },
  [REFUSAL.deviceFlags]: {
    code: 'ERR_PACKET',
    field: 'flags',
    value: hex32(DEVICE_STATE.flags),
    problem:
      'is not exactly 0x40, DEVICE_STATE: such a packet neither ends a round nor is compressed',
  },
  [REFUSAL.deviceIdstr]: {
    code: 'ERR_PACKET',
    field: 'idstr',
    value: id(DEVICE_STATE.idstr),
    problem: 'is empty, or has no NUL within its 256 bytes: the stream is broken',
  },
  [REFUSAL.devicePayload]: {
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
    value: decimal32(DEVICE_STATE.nextPacketSize),
    problem: 'is no number of bytes that device state may have here: it is 0, or above the limit',
  },
};

/**
 * The error for a packet that a `check...` function refused. Its `field` is QEMU's name of the
 * field, and its message has the value as it came.
 *
 * @param refusal what the function returned, not 0
 * @param packet the packet, from its first byte on; at least as much as the function read
 * @param place where the packet was seen; `field` is filled in
 * @param page for a page offset: the page's index, `badPage` of RAM_INFO
 * @param agreed what this end has, for a message that says both
 */
export function packetError(
  refusal: number,
  packet: DataView,
  place: ErrorPlace = {},
  page = 0,
  agreed: Agreed = {},
): MultifdError {
  if (!isRefusal(refusal))
    return new MultifdError(
      'ERR_INTERNAL',
      `the core has no refusal ${inWords(refusal)}`,
      place ?? {},
    );
  if (!(packet instanceof DataView)) refuse('packet', packet, 'a DataView of it');
  const { code, field, value, problem } = EXPLANATIONS[refusal];
  return guarding(() => {
    const why = typeof problem === 'string' ? problem : problem(agreed);
    return new MultifdError(code, `${field} ${value(packet, page)} ${why}`, { ...place, field });
  });
}

function isRefusal(code: number): code is Refusal {
  return typeof code === 'number' && Object.hasOwn(EXPLANATIONS, code);
}

function hex32(at: number): Explanation['value'] {
  return (packet) => `0x${packet.getUint32(at).toString(16).padStart(8, '0')}`;
}

function decimal32(at: number): Explanation['value'] {
  return (packet) => String(packet.getUint32(at));
}

function methodOf(packet: DataView): string {
  const value = (packet.getUint32(RAM.flags) >>> COMPRESSION_SHIFT) & COMPRESSION_MASK;
  const named = Object.entries(COMPRESSION).find(([, number]) => number === value);
  return named?.[0] ?? String(value);
}

/** With the page size that it means, which is what has to be set. */
function pagesAlloc(packet: DataView): string {
  const pages = packet.getUint32(RAM.pagesAlloc);
  const pageSize = PACKET_PAGES_BYTES / pages;
  return Number.isInteger(pageSize)
    ? `${pages}, of a source with pages of ${pageSize} bytes (--page-size ${pageSize}),`
    : String(pages);
}

function id(at: number): Explanation['value'] {
  return (packet) => quoteId(bytesAt(packet, at, ID_LENGTH));
}

function pageOffset(packet: DataView, page: number): string {
  return `0x${packet.getBigUint64(RAM.offset + 8 * page).toString(16)} of page ${page}`;
}

function bytesAt(packet: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(packet.buffer, packet.byteOffset + at, length);
}
