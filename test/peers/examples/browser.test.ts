import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { extractBlock, inspectDevices, inspectImage, receive, replay, send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { pageText } from '../../../examples/browser/server/program.ts';
import { randomBytes } from '../../support/random.ts';
import { temporaryFolder } from '../../support/command.ts';
import {
  bytesAt,
  chromiumAvailable,
  connect,
  devicesOf,
  ended,
  LIMIT,
  numbers,
  screenshot,
  serve,
  useChromium,
} from './page.ts';

const PAGE = 4096;
const RECORDING = fileURLToPath(new URL('../../fixtures/recordings/qemu-10.0-pc', import.meta.url));
const RECORDED_UUID = '6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69';

const openPage = useChromium();

/** 3 MiB with content, then as much of zeros, but for a text in the middle of that. */
function knownBytes(): Uint8Array {
  const bytes = new Uint8Array(6 * 2 ** 20);
  bytes.set(randomBytes('page', 3 * 2 ** 20));
  bytes.set(new TextEncoder().encode('Here it is, alone.'), 0x480010);
  return bytes;
}

describe.skipIf(!chromiumAvailable()).each([
  {
    name: 'with shared memory',
    args: [],
    badge: /^shared memory: channels run in a thread of their own$/,
  },
  {
    name: 'without',
    args: ['--no-isolation'],
    badge:
      /^no shared memory, as this page is not cross-origin isolated: channels run inside the page$/,
  },
])('the page, $name', { timeout: LIMIT }, ({ name, args, badge }) => {
  test('receives what a source sends, shows its numbers and bytes, and sends it back', async () => {
    const page = await openPage(await serve(...args));
    expect(await page.textContent('#isolation')).toMatch(badge);
    const bytes = knownBytes();
    let sending: Promise<unknown> | undefined;
    const uri = await new Promise<string>((onListening, reject) => {
      const at = { uri: 'ws://127.0.0.1:0/', listen: true, token: 'secret', onListening };
      sending = send({ ...at, channels: 3, blocks: [{ id: 'known', source: bytes }] });
      sending.catch(reject);
    });
    await connect(page, 'receive', uri, 3, 'secret');
    expect(await ended(page)).toMatch(
      /^Received 6 MiB in .*: 769 pages with content and 767 zero ones came, over 3 channels\.$/,
    );
    await sending;

    expect(await numbers(page, 'memory', 'pages', 'normal', 'zero', 'again', 'round')).toEqual([
      '6 MiB',
      '1,536',
      '769',
      '767',
      '0',
      '1',
    ]);
    expect(await page.locator('#blocks td').allTextContents()).toEqual([
      'known',
      '6 MiB',
      '1,536',
      '769',
      '767',
      '0',
    ]);
    const channels = await page
      .locator('#channels tr')
      .evaluateAll((rows) =>
        rows.map((row) =>
          [...row.children]
            .slice(2, 4)
            .map((cell) => Number(cell.textContent!.replaceAll(',', ''))),
        ),
      );
    expect(channels).toHaveLength(3);
    expect(channels.reduce((sum, [normal]) => sum + normal!, 0)).toBe(769);
    expect(channels.reduce((sum, [, zero]) => sum + zero!, 0)).toBe(767);

    const text = await bytesAt(page, '0x480010');
    expect(text).toHaveLength(PAGE / 16);
    expect(text[1]).toBe(
      '0048001048 65 72 65 20 69 74 20  69 73 2c 20 61 6c 6f 6eHere it is, alon',
    );
    expect(text[3]).toBe(`00480030${'00 '.repeat(8)} ${'00 '.repeat(8).trim()}................`);
    const random = await bytesAt(page, '8192');
    for (const [index, row] of random.entries()) {
      const hex = Array.from(bytes.subarray(8192 + 16 * index, 8192 + 16 * index + 16), (byte) =>
        byte.toString(16).padStart(2, '0'),
      ).join('');
      expect(row.slice(8, 8 + 48).replaceAll(' ', '')).toBe(hex);
    }
    await page.click('#hex-next');
    await page.waitForFunction(() =>
      document.querySelector('#hex-caption')!.textContent!.startsWith('known, page 3: normal'),
    );
    expect(await page.inputValue('#hex-offset')).toBe('0x3000');
    await page.fill('#hex-offset', '0x600000');
    await page.click('#hex-form button:text-is("Go")');
    expect(await page.textContent('#hex-problem')).toBe(
      'give an offset below 0x600000, such as 0x1f000 or 126976',
    );
    await screenshot(page, `received ${name}`);

    await page.click('#send-home');
    const said = await ended(page);
    expect(said).toMatch(
      /^6 MiB in .* sent back; the server has written .*received-1\.img: 769 pages with content, 767 zero ones\.$/,
    );
    const image = /written (.*\.img):/.exec(said)![1]!;
    const copy = join(await temporaryFolder(), 'copy');
    await extractBlock(image, 'known', copy);
    expect(Buffer.compare(readFileSync(copy), bytes)).toBe(0);
  });

  test('watches a program that is moved while it works', async () => {
    const page = await openPage(await serve(...args));
    await page.click('[data-source=program]');
    // Long before the end there is something to see.
    await page.waitForFunction(
      () =>
        document.body.dataset['memory'] === 'received' &&
        Number(document.querySelector('#number-normal')!.textContent!.replaceAll(',', '')) > 100,
    );
    expect(await page.getAttribute('#status', 'data-state')).toBe('busy');
    expect(await ended(page)).toMatch(/^Received 64 MiB in /);
    const [pages, normal, zero, again, round] = (
      await numbers(page, 'pages', 'normal', 'zero', 'again', 'round')
    ).map((text) => Number(text.replaceAll(',', '')));
    expect(pages).toBe(16_384);
    expect(normal! + zero!).toBe(16_384);
    expect(again).toBeGreaterThan(0);
    expect(round).toBeGreaterThan(1);
    expect(await page.textContent('#legend')).toContain('sent again');
    const rows = await bytesAt(page, '0x2000');
    expect(rows.map((row) => row.slice(-16)).join('')).toContain(pageText(2));
    await screenshot(page, `program ${name}`);
  });

  test('opens an image with its devices, and sends it on', async () => {
    const image = join(await temporaryFolder(), 'vm.img');
    const { uri, completed } = await receive({
      uri: 'tcp:127.0.0.1:0',
      image,
      uuid: RECORDED_UUID,
    });
    await replay({ path: RECORDING, uri });
    await completed;
    const report = await inspectImage(image);

    const url = await serve(...args, image);
    const page = await openPage(url);
    await page.setInputFiles('#file', image);
    expect(await ended(page)).toMatch(
      /^vm\.img: .* in 6 blocks, pages of 4 KiB, machine pc-i440fx-10\.0\.$/,
    );
    const { totals } = report;
    expect(await numbers(page, 'pages', 'normal', 'zero')).toEqual(
      [totals.pages, totals.present, totals.zero].map((number) => number.toLocaleString('en')),
    );
    const apic = page.locator('#devices > details', {
      has: page.locator('summary:has-text("apic#0")'),
    });
    await apic.locator('summary').first().click();
    expect(await apic.locator('.field', { hasText: 'apicbase' }).first().textContent()).toContain(
      '0xfee00900',
    );
    await screenshot(page, `image ${name}`);

    let arrived = new Uint8Array(0);
    const target = await receive({
      uri: 'ws://127.0.0.1:0/',
      origins: [new URL(url).origin],
      blocks: ({ id, usedLength }) =>
        id === 'pc.ram' ? (arrived = new Uint8Array(usedLength)) : new Uint8Array(usedLength),
    });
    await connect(page, 'send', target.uri, 2);
    expect(await ended(page)).toContain(
      `sent to ${target.uri}: ${totals.present} pages with content, ${totals.zero} zero ones.`,
    );
    await target.completed;
    const copy = join(await temporaryFolder(), 'pc.ram');
    await extractBlock(image, 'pc.ram', copy);
    expect(Buffer.compare(readFileSync(copy), arrived)).toBe(0);

    // The same over the network, there and back.
    const devices = await devicesOf(page);
    await page.click('[data-source="0"]');
    expect(await ended(page)).toMatch(/^Received /);
    expect(await numbers(page, 'pages', 'normal', 'zero')).toEqual(
      [totals.pages, totals.present, totals.zero].map((number) => number.toLocaleString('en')),
    );
    expect(await devicesOf(page)).toEqual(devices);
    await page.click('#send-home');
    const returned = /written (.*\.img):/.exec(await ended(page))![1]!;
    expect(await inspectDevices(returned)).toEqual(await inspectDevices(image));
    expect((await inspectImage(returned)).machine).toBe(report.machine);
    for (const { id } of report.blocks) {
      const [before, after] = [
        join(await temporaryFolder(), 'block'),
        join(await temporaryFolder(), 'block'),
      ];
      await extractBlock(image, id, before);
      await extractBlock(returned, id, after);
      expect(Buffer.compare(readFileSync(before), readFileSync(after))).toBe(0);
    }
  });

  test('says what went wrong, and goes on', async () => {
    const page = await openPage(await serve(...args));
    await page.setInputFiles('#file', {
      name: 'some.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('no image at all'),
    });
    expect(await ended(page)).toMatch(/^ERR_/);
    await page.click('[data-source=program]');
    await page.waitForSelector('#cancel:visible');
    await page.click('#cancel');
    expect(await ended(page)).toBe('Cancelled.');
    expect(await page.isEnabled('[data-source=program]')).toBe(true);
    expect(await page.isDisabled('#send-home')).toBe(true);
  });

  test("runs the core's benchmark", async () => {
    const page = await openPage(await serve(...args));
    await page.fill('#bench [name=rounds]', '3');
    await page.click('#bench button');
    await page.waitForSelector(
      '#bench-status:text-matches("^done: medians of 3 rounds over 64 MiB$")',
    );
    const results = await page
      .locator('#bench-chart svg[role=img]')
      .evaluateAll((rows) => rows.map((row) => row.getAttribute('aria-label')!));
    expect(results).toHaveLength(6);
    for (const result of results)
      expect(result).toMatch(
        /: core [\d.,]+ (GiB|million)\/s, plain JavaScript [\d.,]+ (GiB|million)\/s$/,
      );
    await screenshot(page, `benchmark ${name}`);
  });
});

test('no other site starts anything at the server', async () => {
  const url = await serve();
  for (const path of ['targets', 'sources/program']) {
    expect(
      (await fetch(url + path, { method: 'POST', headers: { 'Sec-Fetch-Site': 'cross-site' } }))
        .status,
    ).toBe(403);
  }
  for (const path of [
    'multifd//etc/passwd',
    'file:///etc/passwd',
    'multifd/..%2findex.js',
    'nothing',
  ])
    expect((await fetch(url + path)).status).toBe(404);
});
