import { type IncomingMigration, receive } from 'multifd';
import { describe, expect, it } from 'vitest';
import { permutations, turn } from '../../support/engine/support.ts';
import { Wire } from '../../support/peer.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  part,
  ramPacket,
  start,
  syncPacket,
  zeroPage,
} from '../../support/wire.ts';

const PAGE = 4096;
const PAGES = 5;
const BLOCK = 'ram';
/**
 * A page that a channel writes in the first round, and the main channel says is zero in the second;
 * and one the other way round.
 */
const [ZERO_LAST, ZERO_FIRST] = [3, 4];
const CHANNELS = [0, 1, 2];

const FIRST = 0x10;
const SECOND = 0x20;
/** In the second round, each channel writes the page that another has written in the first. */
const neighbour = (channel: number): number => (channel + 1) % CHANNELS.length;
const EXPECTED = [SECOND + 2, SECOND, SECOND + 1, 0, SECOND];

/**
 * How syncs are told on the main channel: with a flush word each, as machine types from 8.1 on; or
 * by the ends of sections, as those before.
 */
const MODES = [
  { mode: 'per round', flushes: true },
  { mode: 'per section', flushes: false },
];

function mainStream(flushes: boolean): Uint8Array {
  const sync = concat(...(flushes ? [flush()] : []), endOfSection());
  return concat(
    header(),
    ...[start([{ id: BLOCK, length: PAGES * PAGE }]), sync],
    ...[part(), zeroPage(ZERO_FIRST * PAGE, BLOCK), sync],
    ...[part(), zeroPage(ZERO_LAST * PAGE, BLOCK), sync],
    ...[end(), sync],
    endOfFile(),
  );
}

const SYNC = syncPacket();

/** A packet with these pages, all bytes of which are `fill`. */
function filled(fill: number, ...pages: number[]): Uint8Array {
  return ramPacket(
    { block: BLOCK, normal: pages.map((page) => page * PAGE) },
    new Uint8Array(pages.length * PAGE).fill(fill),
  );
}

/**
 * What one channel sends after its initial packet and the SYNC of the set-up: its pages of two
 * rounds, and a SYNC for each section.
 */
function twoRounds(channel: number, first: boolean, last: boolean): Uint8Array {
  return concat(
    filled(FIRST + channel, channel, ...(last ? [ZERO_LAST] : [])),
    SYNC,
    filled(SECOND + channel, neighbour(channel)),
    ...(first ? [filled(SECOND, ZERO_FIRST)] : []),
    SYNC,
    SYNC,
  );
}

describe.each(MODES)('syncs $mode', ({ flushes }) => {
  it.each(permutations(CHANNELS))(
    'workers: the second round is applied after all of the first, when the channels come in ' +
      'the order %i, %i, %i',
    async (...order) => {
      const memory = new Uint8Array(new SharedArrayBuffer(PAGES * PAGE));
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: CHANNELS.length,
        blocks: { [BLOCK]: memory },
      });
      await play(incoming, order, flushes, (channel) => memory[channel * PAGE] === FIRST + channel);
      await incoming.completed;
      for (let page = 0; page < PAGES; page++) {
        expect(new Set(memory.subarray(page * PAGE, (page + 1) * PAGE)), `page ${page}`).toEqual(
          new Set([EXPECTED[page]]),
        );
      }
    },
  );

  it.each(permutations(CHANNELS))(
    'a page sink: no page of the second round comes before one of the first, when the ' +
      'channels come in the order %i, %i, %i',
    async (...order) => {
      const taken: [page: number, value: number][] = [];
      const sink = {
        write(offset: number, pages: Uint8Array) {
          for (let at = 0; at < pages.length; at += PAGE)
            taken.push([(offset + at) / PAGE, pages[at]!]);
        },
        zero: (offset: number) => void taken.push([offset / PAGE, 0]),
      };
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: CHANNELS.length,
        blocks: () => sink,
      });
      await play(incoming, order, flushes, (channel) =>
        taken.some(([page, value]) => page === channel && value === FIRST + channel),
      );
      await incoming.completed;

      const ofFirst = ([page, value]: [number, number]): boolean =>
        page === ZERO_FIRST ? value === 0 : value !== 0 && value < SECOND;
      const firstRound = taken.filter(ofFirst);
      expect(firstRound).toHaveLength(5);
      expect(taken.slice(0, 5)).toEqual(firstRound);
      expect([...new Map(taken)].sort()).toEqual([...EXPECTED.entries()]);
    },
  );
});

/**
 * A source whose main channel has said everything at once, and whose channels come one after the
 * other: each with all it has, once what the one before has of the first round is in place. The
 * last of them writes in the first round, the first of them in the second, what the main channel
 * says is zero in the other.
 */
async function play(
  { uri, completed }: IncomingMigration,
  order: readonly number[],
  flushes: boolean,
  isInPlace: (channel: number) => boolean,
): Promise<void> {
  let over = false;
  completed.finally(() => (over = true)).catch(() => {}); // the test is told
  const main = await Wire.open(uri);
  const wires = await Promise.all(order.map(() => Wire.open(uri)));
  for (const wire of [main, ...wires]) wire.ignore();
  for (const [at, wire] of wires.entries()) wire.put(initialPacket(order[at]!), SYNC);
  main.put(mainStream(flushes));
  main.end();
  for (const [at, wire] of wires.entries()) {
    const channel = order[at]!;
    const isLast = at === order.length - 1;
    wire.put(twoRounds(channel, at === 0, isLast));
    wire.end();
    while (!isLast && !over && !isInPlace(channel)) await turn();
  }
  await Promise.all([main, ...wires].map(({ closed }) => closed));
}
