import { MultifdError } from 'multifd';
import { expect, it } from 'vitest';

// Each build has a class of its own, as each of a page's workers and codecs has.
const copy = new URL('../../../build/browser/index.js', import.meta.url).href;

it('an error of a copy of the package is one of its errors', async () => {
  const other = (await import(copy)) as { MultifdError: typeof MultifdError };
  expect(other.MultifdError).not.toBe(MultifdError);
  const error = new other.MultifdError('ERR_MAGIC', 'no packet');
  expect(error).toBeInstanceOf(MultifdError);
  expect(MultifdError.from(error)).toBe(error);
  for (const none of [new Error('ERR_MAGIC'), { code: 'ERR_MAGIC' }, 'ERR_MAGIC', null, undefined])
    expect(none instanceof MultifdError).toBe(false);
});

it('a class that is made of it knows its own only', () => {
  class Special extends MultifdError {}
  expect(new MultifdError('ERR_MAGIC', 'no packet') instanceof Special).toBe(false);
  expect(new Special('ERR_MAGIC', 'no packet')).toBeInstanceOf(Special);
  expect(new Special('ERR_MAGIC', 'no packet')).toBeInstanceOf(MultifdError);
});
