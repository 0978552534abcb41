import { expect, it } from 'vitest';
import { KINDS, sendNumber, staged } from '../../support/engine/support.ts';

const CHANNELS = 3;

it.each(KINDS)('idle channels take turns, whoever sends: channels: %s', async (kind) => {
  const { stage, engine } = staged(kind, CHANNELS, 2);
  await engine.start();
  for (let number = 0; number < 7; number++) {
    expect(await sendNumber(engine, number % 2, number)).toBe(true);
    await engine.sync(); // all of them are idle then
  }
  await engine.finish();
  const sent = stage.lines().filter(({ step, end }) => step === 'send' && end);
  expect(sent.map(({ channel }) => channel)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  expect(sent.map(({ value }) => value)).toEqual([0, 1, 2, 3, 4, 5, 6]);
});
