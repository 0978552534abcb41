/** What a channel has seen of the numbers that a source gives its RAM packets. */
export interface PacketNumbers {
  /** Packets that have a number. */
  readonly numbered: number;
  /** How many numbers the source had given away by the last of them. */
  readonly numbers: number;
  /** Whether that one has pages and SYNC. */
  readonly merged: boolean;
}

/**
 * Whether packets are missing: pages went out on a channel that is not here, one that a proxy lost,
 * or that was dropped because it came late, with an id out of range.
 *
 * A source numbers its RAM packets over all channels, from 0 on (seen in QEMU 7.2 and 10.0). A SYNC
 * that QEMU 7.2 asks for while pages wait to be sent goes out with them: their number is passed
 * over, and the SYNC's comes again, in an empty packet behind. At the end that one may still be on
 * its way, or never be sent.
 */
export function lacksPackets(channels: readonly PacketNumbers[]): boolean {
  const given = Math.max(0, ...channels.map(({ numbers }) => numbers));
  const excused = channels.filter(({ merged }) => merged).length;
  return countNumbered(channels) + excused < given;
}

/** Packets with a number, of all channels. */
export function countNumbered(channels: readonly PacketNumbers[]): number {
  return channels.reduce((sum, { numbered }) => sum + numbered, 0);
}
