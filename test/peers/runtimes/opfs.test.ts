import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PageApi } from './entries/page.ts';
import { install, type Installed } from './installed.ts';
import { binaryOf } from './locate.ts';
import { Pages } from './page.ts';

const LIMIT = 240_000;
const CASES = [
  'an image is written, read and sent from there',
  'one that is there is replaced only if that is asked for',
  'a migration that fails leaves none, or the one before',
  'two that write the same one',
];

let installed: Installed;
let pages: Pages | undefined;

beforeAll(async () => {
  installed = install();
}, LIMIT);

afterAll(async () => {
  await pages?.stop();
  installed.remove();
});

describe("images in Chromium's own file system", () => {
  test.for([
    ['a page', 'opfs', true],
    ['a page without isolation', 'opfs', false],
    ['a dedicated worker', 'opfsInWorker', true],
    ['a dedicated worker without isolation', 'opfsInWorker', false],
  ] as const)('%s', { timeout: LIMIT }, async ([, how, isolated], context) => {
    pages ??= await Pages.start(binaryOf('chromium', context), installed);
    const page = await pages.open(isolated);
    const tried = await page.evaluate(
      (name) => (globalThis as unknown as { api: PageApi }).api[name](),
      how,
    );
    expect(tried).toEqual(CASES);
  });
});
