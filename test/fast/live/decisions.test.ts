import { describe, expect, test } from 'vitest';
import {
  Convergence,
  type ConvergenceOptions,
  type RoundFacts,
} from '../../../src/live/convergence.ts';

const SCANNED = 100;

/** A round over 100 pages. Milliseconds. */
const round = (dirty: number, duration: number, active = duration): RoundFacts => ({
  count: { scanned: SCANNED, dirty, zero: 0 },
  duration,
  active,
});

const convergence = (options: Partial<ConvergenceOptions> = {}): Convergence =>
  new Convergence({
    downtimeLimit: 15,
    maxRounds: 30,
    autoConverge: false,
    scanShare: 0.1,
    ...options,
  });

/** All pages in 100 ms: a page costs 1 ms. */
const FIRST = round(SCANNED, 100);
/** 10 ms to look, and 5 pages that will have changed meanwhile. */
const NEAR = round(10, 50, 20);

describe('a round that leaves as much to do as the downtime limit allows', () => {
  test('is near enough: one more, with half of the thread, then the switch-over', () => {
    const one = convergence();
    expect(one.take(FIRST)).toEqual({ dirtyRate: 0, expectedDowntime: undefined });
    expect(one.decide(one.take(NEAR))).toBe('go on');
    expect(one.share).toBe(0.5);
    const last = one.take(round(5, 50, 15));
    expect(last).toEqual({ dirtyRate: 100, expectedDowntime: 15 });
    expect(one.decide(last)).toBe('switch over');
  });

  test('is not, when the limit is less', () => {
    const one = convergence({ downtimeLimit: 14.9 });
    one.take(FIRST);
    const forecast = one.take(NEAR);
    expect(forecast).toEqual({ dirtyRate: 100, expectedDowntime: 15 });
    expect(one.decide(forecast)).toBe('go on');
    expect(one.share).toBe(0.1);
  });

  test('is the last one, where no more may come', () => {
    const one = convergence({ maxRounds: 2 });
    expect(one.decide(one.take(FIRST))).toBe('go on');
    expect(one.decide(one.take(NEAR))).toBe('switch over');
  });
});

test('what is not near in the last round is given up', () => {
  const one = convergence({ maxRounds: 3 });
  const decisions = [1, 2, 3].map(() => one.decide(one.take(FIRST)));
  expect(decisions).toEqual(['go on', 'go on', 'give up']);
});

describe('a guest that can be throttled', () => {
  test('is, after two rounds that did not help, by more each time, up to 99 %', () => {
    const one = convergence({ autoConverge: true, maxRounds: 100 });
    const throttles: number[] = [];
    one.decide(one.take(FIRST));
    for (let step = 0; step < 10; step++) {
      expect(one.decide(one.take(FIRST))).toBe('go on');
      if (one.throttle === 0.99) break;
      expect(one.decide(one.take(FIRST))).toBe('throttle');
      throttles.push(one.throttle);
    }
    expect(throttles).toEqual([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]);
  });

  test('is not for rounds of which each finds half of what the one before had', () => {
    const one = convergence({ autoConverge: true, downtimeLimit: 1 });
    for (const dirty of [96, 48, 24, 12, 6])
      expect(one.decide(one.take(round(dirty, 100)))).toBe('go on');
    expect(one.throttle).toBe(0);
    expect(one.share).toBe(0.1);
  });
});
