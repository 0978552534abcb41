import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';
import { locate } from '../runtimes/locate.ts';
import playwright, {
  type Browser,
  type Page,
} from '../runtimes/node_modules/playwright-core/index.js';
import { temporaryFolder } from '../../support/command.ts';

/** The page of `examples/browser` in Chromium. */

const SERVER = fileURLToPath(new URL('../../../build/examples/browser-server.js', import.meta.url));
/** Screenshots stay here, for people to look at. */
const ARTEFACTS = fileURLToPath(new URL('../../artefacts/browser/', import.meta.url));
const OPTIONS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Milliseconds for whatever a page is waited for, and for a test with one: browsers are slow on a
 * machine that is busy.
 */
export const LIMIT = 180_000;

const found = locate('chromium');

/** In CI it is always true: there a missing Chromium has to fail, not to skip. */
export function chromiumAvailable(): boolean {
  return (process.env['CI'] ?? '') !== '' || !('missing' in found);
}

/**
 * Starts a browser for the tests of a file.
 * @returns opens a fresh page; what goes wrong in it fails the test.
 */
export function useChromium(): (url: string) => Promise<Page> {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (!chromiumAvailable()) return;
    if ('missing' in found) throw new Error(found.missing);
    mkdirSync(ARTEFACTS, { recursive: true });
    browser = await playwright.chromium.launch({ executablePath: found.path, args: OPTIONS });
  });
  afterAll(() => browser?.close());
  return async (url) => {
    const page = await browser!.newPage({ viewport: { width: 1360, height: 900 } });
    page.setDefaultTimeout(LIMIT);
    const wrong: string[] = [];
    page.on('pageerror', (error) => wrong.push(String(error.stack)));
    page.on('console', (message) => {
      if (message.type() === 'error') wrong.push(message.text());
    });
    onTestFinished(async () => {
      await page.close();
      expect(wrong).toEqual([]);
    });
    await page.goto(url);
    return page;
  };
}

/** Starts the page's server as one does by hand. @returns its address. */
export async function serve(...args: string[]): Promise<string> {
  const child = spawn(
    process.execPath,
    [SERVER, '--port', '0', '--folder', await temporaryFolder(), ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
  return url;
}

/** Waits for what the page was asked to do. @returns what it says then. */
export async function ended(page: Page): Promise<string> {
  await page.waitForSelector('#status:is([data-state=done], [data-state=failed])');
  return (await page.textContent('#status'))!;
}

/** The numbers at the top, as they stand there. */
export async function numbers(page: Page, ...names: string[]): Promise<string[]> {
  const all: string[] = [];
  for (const name of names) all.push((await page.textContent(`#number-${name}`))!);
  return all;
}

/** Goes to a byte. @returns the hex view's rows. */
export async function bytesAt(page: Page, offset: string): Promise<string[]> {
  await page.fill('#hex-offset', offset);
  await page.click('#hex-form button:text-is("Go")');
  await page.waitForFunction(
    (number) => document.querySelector('#hex-caption')!.textContent!.includes(`page ${number}:`),
    Math.floor(Number(offset) / 4096).toLocaleString('en'),
  );
  return page.locator('#hex-dump > div').allTextContents();
}

/** Fills a form of an address and channels, and sends it off. */
export async function connect(
  page: Page,
  form: 'receive' | 'send',
  uri: string,
  channels: number,
  token = '',
): Promise<void> {
  await page
    .locator(`#${form}`)
    .evaluate((element) => void (element.closest('details')!.open = true));
  await page.fill(`#${form} [name=uri]`, uri);
  await page.fill(`#${form} [name=channels]`, String(channels));
  await page.fill(`#${form} [name=token]`, token);
  await page.click(`#${form} button`);
}

export function devicesOf(page: Page): Promise<string[]> {
  return page.locator('#devices > details > summary > .name').allTextContents();
}

export async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`), fullPage: true });
}
