import { expect, test } from 'vitest';
import { progressLine } from '../../../src/cli/output/progress.ts';

const GIB = 2 ** 30;
const bar = (size: number): string => '#'.repeat(size);
const shown = { done: 12.3 * GIB, total: 123 * GIB, rate: 1234.5, seconds: 75, left: 7260 };

test('the bar has the room that the numbers leave, and gives way to them', () => {
  const numbers = ' 10% 12.3 GiB of 123 GiB  147 MiB/s  2:01:00 left';
  expect(progressLine('receiving', shown, 80, bar)).toBe(`receiving ${bar(20)} ${numbers}`);
  expect(progressLine('receiving', shown, 200, bar)).toBe(`receiving ${bar(30)} ${numbers}`);
  expect(progressLine('receiving', shown, 62, bar)).toBe(`receiving ${numbers}`);
  expect(progressLine('receiving', shown, 20, bar)).toHaveLength(20);
});

test('without a total there is what has come, how fast, and since when', () => {
  const line = progressLine('recording', { ...shown, total: 0, left: undefined }, 79, bar);
  expect(line).toBe('recording 12.3 GiB  147 MiB/s  1:15');
});

test('without a guess at the time left none is said', () => {
  expect(progressLine('sending', { ...shown, left: undefined }, 79, bar)).not.toContain('left');
});
