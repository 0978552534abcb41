import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { install, type Installed } from '../runtimes/installed.ts';
import { binaryOf } from '../runtimes/locate.ts';
import { type Browser, launchChromium } from '../runtimes/page.ts';
import { serveModules } from '../runtimes/workerd.ts';
import { bundleBy } from './app.ts';
import { addressOf, serveBundle } from './served.ts';

const LIMIT = 240_000;

/** Both ends of each of its migrations have two workers. */
interface Said {
  moved: string[];
  workers: number;
}

interface Page {
  said: Promise<Said>;
}

let installed: Installed;
let browser: Browser | undefined;

beforeAll(() => {
  installed = install();
}, LIMIT);

afterAll(async () => {
  await browser?.close();
  installed.remove();
});

describe('as docs/bundlers.md says, the packed package is bundled, and moves memory by workers', () => {
  test.for([
    ['Vite', '', 'vite7'],
    ['Vite', '', 'vite8'],
    ['webpack', 'main.js'],
    ['Parcel', ''],
    ['esbuild', 'app.js'],
    ['Rollup', 'app.js'],
  ] as const)('%s, in a page', { timeout: LIMIT }, async ([by, made, vite], context) => {
    const executablePath = binaryOf('chromium', context);
    const name = vite ?? by.toLowerCase();
    const folder = await bundleBy(by, { installed, kind: 'page', name, vite });
    browser ??= await launchChromium(executablePath);
    const server = await serveBundle(folder, made);
    const page = await browser.newPage();
    try {
      await page.goto(addressOf(server));
      const said = await page.evaluate(() => (globalThis as unknown as Page).said);
      expect(said).toEqual({ moved: ['none moved', 'zlib moved', 'zstd moved'], workers: 12 });
    } finally {
      await page.close();
      server.closeAllConnections();
      server.close();
    }
  });

  test('without the entries of the workers its error says what to do', async () => {
    const without = / \S+=multifd\/\S+/g;
    const name = 'esbuild-incomplete';
    const how = { installed, kind: 'node', name, without } as const;
    const folder = await bundleBy('esbuild, for Node', how);
    const { stdout } = await promisify(execFile)(process.execPath, ['app.mjs'], { cwd: folder });
    const { moved } = JSON.parse(stdout) as Said;
    for (const line of moved)
      expect(line).toMatch(/ERR_ENGINE: .*createWorker.*inline: true.*docs\/bundlers\.md/);
  });

  test.for([
    ['esbuild, for Node', 'app.mjs'],
    ['webpack, for Node', 'main.cjs'],
  ] as const)('%s', { timeout: LIMIT }, async ([by, made]) => {
    const name = by.replace(', for ', '-');
    const folder = await bundleBy(by, { installed, kind: 'node', name });
    const { stdout } = await promisify(execFile)(process.execPath, [made], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual({ moved: ['none moved', 'zlib moved'], workers: 8 });
  });

  test('wrangler, in workerd, where channels are tasks', { timeout: LIMIT }, async (context) => {
    const workerd = binaryOf('workerd', context);
    const folder = await bundleBy('wrangler', { installed, kind: 'worker', name: 'wrangler' });
    const modules = readdirSync(folder).filter((name) => /\.(?:js|wasm)$/.test(name));
    const { host, stop } = await serveModules(workerd, folder, modules);
    try {
      const response = await fetch(`http://${host}/`);
      expect(await response.json()).toEqual(['none moved', 'zlib moved']);
    } finally {
      stop();
    }
  });
});
