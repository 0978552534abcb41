import { type OutgoingBlock, send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { returnMessage } from '../../../src/stream/index.ts';
import { errorOf, PAGE } from '../../support/migration.ts';
import { PostcopyTarget } from '../../support/postcopy-target.ts';
import { Random, SEED } from '../../support/random.ts';

const random = new Random(SEED);

/** Pages of which about a third are zero. */
function memory(pages: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE);
  for (let page = 0; page < pages; page++)
    if (!random.chance(1 / 3)) bytes.fill(random.below(255) + 1, page * PAGE, (page + 1) * PAGE);
  return bytes;
}

const BLOCKS = { big: memory(300), small: memory(7), one: memory(1) };
const PAGES = 308;
const blocks: readonly OutgoingBlock[] = Object.entries(BLOCKS).map(([id, source]) => ({
  id,
  source,
}));

function anywhere(count: number): Array<{ block: string; page: number }> {
  return Array.from({ length: count }, () => {
    const block = random.pick(['big', 'big', 'small', 'one'] as const);
    return { block, page: random.below(BLOCKS[block].length / PAGE) };
  });
}

function expectWhole(target: PostcopyTarget): void {
  for (const [id, bytes] of Object.entries(BLOCKS))
    expect(Buffer.compare(target.memory.get(id)!, bytes)).toBe(0);
  // each page once, whatever was asked for
  expect(new Set(target.came).size).toBe(PAGES);
  expect(target.came).toHaveLength(PAGES);
}

describe(`postcopy, seed ${SEED}`, () => {
  test('sends each page once', async () => {
    const target = await PostcopyTarget.open({ ask: anywhere(200) });
    const statistics = await send({ uri: target.uri, blocks, postcopy: true });
    await target.close();
    expect(target.completed).toBe(true);
    expectWhole(target);
    expect(target.devices).toBeDefined();
    expect(statistics.confirmed).toBe(true);
    expect(statistics.ram.remaining).toBe(0);
  });

  test('sends what is asked for first, however little bandwidth there is', async () => {
    const asked = Array.from({ length: 40 }, (_, n) => ({ block: 'big', page: 299 - 7 * n }));
    const target = await PostcopyTarget.open({ ask: asked });
    // All of it would take 60 s and more.
    const sending = send({ uri: target.uri, blocks, postcopy: true, maxBandwidth: 16 * 1024 });
    const error = errorOf(sending);
    await expect
      .poll(() => asked.filter(({ page }) => target.came.includes(`big:${page}`)).length, {
        timeout: 20_000,
      })
      .toBe(40);
    expect(target.came.length).toBeLessThan(PAGES);
    target.options = {};
    expect(target.completed).toBe(false);
    target.breakOff();
    expect((await error).code).toBe('ERR_PEER_CLOSED');
    await target.close();
  });

  test('goes on behind what was asked for last', async () => {
    const target = await PostcopyTarget.open({ ask: [{ block: 'big', page: 150 }] });
    await send({ uri: target.uri, blocks, postcopy: true, maxBandwidth: 4 * 1024 * 1024 });
    await target.close();
    expectWhole(target);
    const at = target.came.indexOf('big:150');
    const later = target.came.slice(at + 1);
    expect(later.indexOf('big:151')).toBeLessThan(later.indexOf('small:0'));
  });

  test('after full rounds has one page left', async () => {
    const target = await PostcopyTarget.open();
    await send({ uri: target.uri, blocks, postcopy: true, postcopyAfter: 2 });
    await target.close();
    expect(target.came.filter((name) => name === 'big:0')).toHaveLength(2);
    expect(target.came).toHaveLength(PAGES + 1);
  });

  test('cut at each message, resumed, sends nothing twice that has come', async () => {
    const whole = await PostcopyTarget.open({ ask: anywhere(20) });
    await send({ uri: whole.uri, blocks, postcopy: true });
    await whole.close();
    const switched = whole.messages.indexOf('command 7') + 1;
    for (let cut = switched; cut <= whole.messages.length; cut += 1 + random.below(24)) {
      const target = await PostcopyTarget.open({ ask: anywhere(20), cutAfter: cut });
      const error = await errorOf(send({ uri: target.uri, blocks, postcopy: true }));
      expect(error.message).toContain('--resume');
      target.options = { ask: anywhere(20), cutAfter: target.messages.length + random.below(99) };
      await send({ uri: target.uri, blocks, resume: true }).catch(() => {});
      if (!target.completed) {
        target.options = {};
        await send({ uri: target.uri, blocks, resume: true });
      }
      await target.close();
      expectWhole(target);
    }
  });

  test.each([
    ['a block that there is none of', 'ERR_BLOCK', { block: 'none', start: 0, length: PAGE }],
    ['no whole page', 'ERR_PAGE_OFFSET', { block: 'big', start: 512, length: PAGE }],
    ['no pages', 'ERR_PAGE_OFFSET', { block: 'big', start: 0, length: 0 }],
    ['half a page', 'ERR_PAGE_OFFSET', { block: 'big', start: 0, length: 2048 }],
    ['pages past the end', 'ERR_PAGE_OFFSET', { block: 'one', start: 0, length: 2 * PAGE }],
    ['the block before the first', 'ERR_STREAM', { block: undefined, start: 0, length: PAGE }],
  ])('a request for %s is refused', async (_what, code, request) => {
    const say = returnMessage({ type: 'request-pages', ...request });
    const target = await PostcopyTarget.open({ say });
    const options = { uri: target.uri, blocks, postcopy: true, maxBandwidth: 100_000 } as const;
    expect((await errorOf(send(options))).code).toBe(code);
    await target.close();
  });

  test.each([
    [{ multifd: false, channels: 2 }],
    [{ multifd: false, compression: 'zstd' }],
    [{ multifd: false, deviceState: [] }],
    [{ postcopy: true, returnPath: false }],
    [{ postcopy: true, deviceState: [] }],
    [{ postcopyAfter: 1 }],
    [{ postcopyPreempt: true }],
    [{ resume: true, channels: 2 }],
    [{ resume: true, postcopyAfter: 1 }],
    [{ resume: true, postcopy: false }],
    [{ postcopy: true, uri: 'file:/nowhere' }],
    [{ multifd: false, uri: 'file:/nowhere' }],
  ] as const)('%o is refused', async (options) => {
    const error = await errorOf(send({ uri: 'tcp:127.0.0.1:1', blocks, ...options }));
    expect(error.code).toBe('ERR_OPTION');
  });
});
