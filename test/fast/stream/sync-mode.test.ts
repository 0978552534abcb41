import { expect, test } from 'vitest';
import { bytes, parse, stream } from '../../support/stream.ts';

test('a flush in the START section says that each round has one', async () => {
  const { events, summary } = await parse(stream());
  expect(summary.syncMode).toBe('per-round');
  expect(events.filter(([name]) => name === 'end').map(([, , mode]) => mode)).toEqual([
    'per-round',
    'per-round',
    'per-round',
  ]);
});

test('one in a later section does not', async () => {
  const { events, summary } = await parse(stream({ startContent: bytes() }));
  expect(summary.syncMode).toBe('per-section');
  expect(events.filter(([name]) => name === 'flush')).toHaveLength(2);
  expect(events.filter(([name]) => name === 'end').map(([, , mode]) => mode)).toEqual([
    'per-section',
    'per-section',
    'per-section',
  ]);
});
