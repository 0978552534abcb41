import { expect, test } from 'vitest';
import { cellOf, layOut, pageAt } from '../../../examples/browser/page/map-layout.ts';
import {
  FIRST,
  NEVER,
  PageStates,
  stateText,
  ZERO,
} from '../../../examples/browser/page/states.ts';

const ROOM = { width: 800, height: 400, label: 20, most: 11 };

function statesOf(pages: number): PageStates {
  return new PageStates(new ArrayBuffer(PageStates.bytes(pages)), pages);
}

test('a map has the largest cells with which its blocks fit', () => {
  expect(layOut([16, 4], ROOM)).toEqual({
    cell: 11,
    group: 1,
    columns: 72,
    height: 62,
    areas: [
      { top: 20, rows: 1, pages: 16 },
      { top: 51, rows: 1, pages: 4 },
    ],
  });
  const middle = layOut([16_384], ROOM);
  expect(middle).toMatchObject({ cell: 4, group: 1, columns: 200 });
  const full = layOut([320_000], ROOM);
  expect(full).toMatchObject({ cell: 1, group: 1, columns: 800 });
  expect(layOut([320_001], ROOM)).toMatchObject({ cell: 1, group: 2 });
  expect(layOut([2 ** 22, 5], ROOM)).toMatchObject({
    cell: 1,
    group: 16,
    areas: [{ rows: 328 }, { rows: 1 }],
  });
});

test('blocks that are too many for the room still have a row each', () => {
  const { group, areas } = layOut(
    Array.from({ length: 500 }, () => 3),
    ROOM,
  );
  expect(group).toBe(4);
  expect(areas.map(({ rows }) => rows)).toEqual(Array.from({ length: 500 }, () => 1));
});

test.each([[[16, 4]], [[16_384, 100]], [[2 ** 22, 5]]])(
  'each cell of the map of %j is found where it is',
  (pages) => {
    const layout = layOut(pages, ROOM);
    for (const [block, count] of pages.entries()) {
      for (let page = 0; page < count; page += Math.max(layout.group, 997)) {
        const { x, y } = cellOf(layout, block, page);
        expect(pageAt(layout, x + layout.cell / 2, y + layout.cell / 2)).toEqual({
          block,
          page: page - (page % layout.group),
        });
      }
    }
    expect(pageAt(layout, 5, 5)).toBeUndefined();
    expect(pageAt(layout, 5, layout.height + 1)).toBeUndefined();
    expect(pageAt(layout, ROOM.width + 1, 25)).toBeUndefined();
  },
);

test("beside a block's last page there is none", () => {
  const layout = layOut([16], ROOM);
  expect(pageAt(layout, 15.5 * 11, 25)).toEqual({ block: 0, page: 15 });
  expect(pageAt(layout, 16.5 * 11, 25)).toBeUndefined();
});

test('pages are never sent, zero, normal, and then of the round that they came in', () => {
  const states = statesOf(6);
  expect([...states.codes]).toEqual([NEVER, NEVER, NEVER, NEVER, NEVER, NEVER]);
  states.mark(0, 3, true, 1);
  states.mark(3, 2, false, 1);
  expect([...states.codes]).toEqual([FIRST, FIRST, FIRST, ZERO, ZERO, NEVER]);
  expect([states.round, states.normal, states.zero, states.again]).toEqual([1, 3, 2, 0]);
  states.mark(1, 1, true, 2);
  states.mark(2, 1, false, 2);
  states.mark(3, 1, true, 3);
  expect([...states.codes].map(stateText)).toEqual([
    'normal',
    'sent again in round 2',
    'zero',
    'sent again in round 3',
    'zero',
    'never sent',
  ]);
  expect([states.round, states.normal, states.zero, states.again]).toEqual([3, 3, 2, 3]);
});

test('a page that comes again says that its round is over, before the statistics do', () => {
  const states = statesOf(4);
  states.mark(0, 4, true, 1);
  states.mark(2, 1, true, 1);
  states.mark(0, 1, true, 1);
  expect([...states.codes].map(stateText)).toEqual([
    'sent again in round 2',
    'normal',
    'sent again in round 2',
    'normal',
  ]);
  states.mark(0, 1, false, 1);
  states.mark(1, 1, true, 2);
  expect([...states.codes].map(stateText)).toEqual([
    'zero',
    'sent again in round 3',
    'sent again in round 2',
    'normal',
  ]);
});

test('rounds past what a byte holds are all the last one', () => {
  const states = statesOf(1);
  for (let round = 1; round < 400; round++) states.mark(0, 1, true, round);
  expect(states.codes[0]).toBe(255);
  expect(states.again).toBe(398);
});
