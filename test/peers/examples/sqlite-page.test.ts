import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { receive } from 'multifd';
import { expect, onTestFinished, test, type TestContext } from 'vitest';
import type { ServerEnd } from '../../../examples/browser/page/server.ts';
import { binaryOf } from '../runtimes/locate.ts';
import playwright, { type Page } from '../runtimes/node_modules/playwright-core/index.js';

const SERVER = fileURLToPath(new URL('../../../build/examples/sqlite-server.js', import.meta.url));
/** Screenshots stay here, for people to look at. */
const ARTEFACTS = fileURLToPath(new URL('../../artefacts/sqlite-page/', import.meta.url));
const OPTIONS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const ACCOUNTS = 8192;
const CHECKS = 7;

/** The server, as one starts it by hand, and what it says. */
class Server {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [SERVER, '--port', '0', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void this.child.kill('SIGKILL'));
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line of its output. */
  async says(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error('the server has ended');
    return value;
  }
}

/** A fresh page; what goes wrong in it fails the test, but for what the server refuses. */
async function openPage(context: TestContext, url: string): Promise<Page> {
  const executablePath = binaryOf('chromium', context);
  const browser = await playwright.chromium.launch({ executablePath, args: OPTIONS });
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(String(error.stack)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('409 (Conflict)'))
      wrong.push(message.text());
  });
  onTestFinished(async () => {
    await browser.close();
    expect(wrong).toEqual([]);
  });
  await page.goto(url);
  return page;
}

/** Waits for a move to end. @returns what the page says then. */
async function moved(page: Page): Promise<string> {
  await page.waitForSelector('#status:is([data-state=done], [data-state=failed])');
  return (await page.textContent('#status'))!;
}

async function number(page: Page, name: string): Promise<number> {
  return Number((await page.textContent(`#number-${name}`))!.replaceAll(',', ''));
}

async function ask(page: Page, sql: string): Promise<void> {
  await page.fill('#query textarea', sql);
  await page.click('#query button');
}

/** The rows of the answer to a question that has the answer's first column's name in it. */
async function answerTo(page: Page, column: string, sql: string): Promise<string[][]> {
  await ask(page, sql);
  await page.waitForFunction(
    (column) => document.querySelector('#columns th')?.textContent === column,
    column,
  );
  return page
    .locator('#rows tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent!)));
}

/**
 * Brings the database into the page.
 * @returns the number of the last transaction that it came with.
 */
async function bring(page: Page, server: Server): Promise<number> {
  await page.click('#receive');
  expect(await moved(page)).toBe('The database is here, and the writer goes on.');
  const left = Number(
    /^left with transaction (\d+): \d+ MiB of memory, \d+ MiB sent in \d+ ms over 4 channels$/.exec(
      await server.says(),
    )![1],
  );
  expect(await number(page, 'arrived')).toBe(left);
  return left;
}

/** Waits until it has written so much. */
async function committed(page: Page, least: number): Promise<void> {
  await page.waitForFunction(
    (least) =>
      Number(document.querySelector('#number-committed')!.textContent!.replaceAll(',', '')) >=
      least,
    least,
  );
}

/** Looks whether all is true of it after a certain transaction, or a later one. */
async function check(page: Page, after: number): Promise<void> {
  await page.click('#verify');
  await page.waitForFunction(
    (after) =>
      Number(
        /[\d,]+/.exec(document.querySelector('#checked')!.textContent!)?.[0].replaceAll(',', ''),
      ) >= after,
    after,
  );
  const checks = await page
    .locator('#checks tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent!)));
  expect(checks).toHaveLength(CHECKS);
  for (const [verdict, name, found] of checks)
    expect(`${verdict} ${name}: ${found}`).toBe(`ok ${name}: ${found}`);
  expect(checks).toContainEqual(['ok', 'PRAGMA integrity_check', 'ok']);
  expect(checks).toContainEqual(['ok', 'accounts', String(ACCOUNTS)]);
}

test('a database moves into a page, goes on there, answers questions, goes back, and comes again', async (context) => {
  const server = new Server('8');
  const url = await server.says();
  expect(await server.says()).toMatch(
    new RegExp(`^${ACCOUNTS} accounts in \\d+ MiB of WebAssembly memory; the writer works here$`),
  );
  const page = await openPage(context, url);
  expect(await page.isDisabled('#query button')).toBe(true);

  const came = await bring(page, server);
  expect(came).toBeGreaterThan(0);
  await committed(page, came + 200);
  expect(await number(page, 'rate')).toBeGreaterThan(0);
  expect(await page.textContent('#number-downtime')).toMatch(/^[\d.]+ m?s$/);
  await check(page, came + 200);

  // What came with it and what was written here are in one table, without a gap.
  const [[count, least, last, before]] = (await answerTo(
    page,
    'all',
    `SELECT count(*) AS "all", min(seq), max(seq), count(*) FILTER (WHERE seq <= ${came}) ` +
      'FROM transfer',
  )) as [string[]];
  expect(Number(last)).toBeGreaterThan(came);
  expect([count, least, before]).toEqual([last, '1', String(came)]);
  const [[body]] = (await answerTo(
    page,
    'content',
    'SELECT body AS content FROM account WHERE id = 1',
  )) as [string[]];
  expect(body).toMatch(/^x'[0-9a-f]{32}…' \(480 bytes\)$/);
  expect(await answerTo(page, 'many', 'SELECT id AS many FROM account ORDER BY id')).toHaveLength(
    200,
  );
  expect(await page.textContent('#answer')).toBe('The first 200 rows; there are more.');

  for (const [sql, problem] of [
    ['DELETE FROM account', 'ask with SELECT'],
    ['WITH one AS (SELECT 1) DELETE FROM account', 'readonly'],
    ['SELECT one FROM nowhere', 'no such table: nowhere'],
  ] as const) {
    await ask(page, sql);
    await page.waitForFunction(
      (problem) => document.querySelector('#query-problem')!.textContent!.includes(problem),
      problem,
    );
  }
  mkdirSync(ARTEFACTS, { recursive: true });
  await page.screenshot({ path: join(ARTEFACTS, 'here.png'), fullPage: true });

  await page.click('#send');
  const left = Number(
    /^The database is at the server again: it left with transaction ([\d,]+)\.$/
      .exec(await moved(page))![1]!
      .replaceAll(',', ''),
  );
  expect(left).toBeGreaterThan(Number(last));
  expect(await server.says()).toBe(`came back with transaction ${left}; the writer works here`);
  for (let line = 0; line < CHECKS; line++) expect(await server.says()).toMatch(/^ok {2}/);

  const again = await bring(page, server);
  expect(again).toBeGreaterThan(left);
  await committed(page, again + 200);
  await check(page, again + 200);
});

test(
  'a target that fails leaves the database at work at the server, and a page that has it keeps ' +
    'it from others',
  async (context) => {
    const server = new Server('8');
    const url = await server.says();
    await server.says();
    const page = await openPage(context, url);
    const { uri, channels, token } = await page.evaluate(async () => {
      const response = await fetch('leave', { method: 'POST' });
      return (await response.json()) as ServerEnd;
    });
    await page.click('#receive');
    expect(await moved(page)).toContain('the database is on its way');
    const noRoom = (): never => {
      throw new Error('no room');
    };
    const failing = await receive({ uri, connect: true, channels, token, blocks: noRoom });
    await expect(failing.completed).rejects.toThrow('no room');
    expect(await server.says()).toMatch(/^ERR_[A-Z_]+: /);

    const came = await bring(page, server);
    await committed(page, came + 200);
    await check(page, came + 200);
    const refused = await page.evaluate(async () => {
      const response = await fetch('leave', { method: 'POST' });
      return [response.status, await response.text()];
    });
    expect(refused).toEqual([409, 'the database is in a page']);
  },
);
