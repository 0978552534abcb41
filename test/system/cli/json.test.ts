import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytes } from '../../support/random.ts';
import {
  type JsonEvent,
  parseLines,
  run,
  startReceiver,
  temporaryFolder,
} from '../../support/command.ts';
import { Source } from '../../support/peer.ts';
import {
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  openReturnPath,
  start,
  syncPacket,
} from '../../support/wire.ts';

const PAGE = 4096;
const PAGES = 700;
const ZERO_PAGES = 100;

const STATISTICS = ['total-time', 'setup-time', 'ram', 'channels', 'blocks', 'confirmed'];
const RAM = [
  'total',
  'transferred',
  'remaining',
  'normal',
  'normal-bytes',
  'duplicate',
  'page-size',
  'mbps',
  'multifd-bytes',
  'precopy-bytes',
  'postcopy-bytes',
  'dirty-sync-count',
];
const CHANNEL = ['id', 'packets', 'bytes', 'normal', 'duplicate'];

interface Channel {
  id: number;
  bytes: number;
  normal: number;
  duplicate: number;
}

function checkShape(event: JsonEvent): void {
  expect(Object.keys(event)).toEqual(['event', ...STATISTICS]);
  expect(Object.keys(event['ram'] as object)).toEqual(RAM);
  for (const channel of event['channels'] as object[])
    expect(Object.keys(channel)).toEqual(CHANNEL);
  expect(
    Object.values(event['ram'] as object).every((value) => Number.isFinite(value) && value >= 0),
  ).toBe(true);
}

test('each end tells listening, progress and the result, with numbers that add up', async () => {
  const folder = await temporaryFolder();
  const source = join(folder, 'some.file');
  await writeFile(source, new Uint8Array(PAGES * PAGE));
  await writeFile(source, randomBytes('json', (PAGES - ZERO_PAGES) * PAGE), { flag: 'r+' });

  const { receiver, uri } = await startReceiver(
    'tcp:127.0.0.1:0',
    join(folder, 'image'),
    '--channels',
    '3',
  );
  expect(uri).toMatch(/^tcp:127\.0\.0\.1:[1-9]\d*$/);
  const sent = await run('send', source, uri, '--json', '--channels', '3');
  const received = await receiver.ended;
  expect([sent.stderr, received.stderr]).toEqual(['', '']);

  const [listening, ...incoming] = parseLines(received.stdout);
  expect(listening).toEqual({ event: 'listening', uri });
  for (const events of [parseLines(sent.stdout), incoming]) {
    for (const event of events) checkShape(event);
    expect(events.slice(0, -1).length).toBeGreaterThan(0);
    expect(new Set(events.slice(0, -1).map(({ event }) => event))).toEqual(new Set(['progress']));

    const result = events.at(-1)!;
    expect(result).toMatchObject({
      event: 'completed',
      confirmed: true,
      ram: {
        total: PAGES * PAGE,
        remaining: 0,
        normal: PAGES - ZERO_PAGES,
        'normal-bytes': (PAGES - ZERO_PAGES) * PAGE,
        duplicate: ZERO_PAGES,
        'page-size': PAGE,
      },
      blocks: [{ id: 'some.file', 'used-length': PAGES * PAGE }],
    });
    const channels = result['channels'] as Channel[];
    const ram = result['ram'] as Record<string, number>;
    const sum = (key: keyof Channel): number =>
      channels.reduce((total, channel) => total + channel[key], 0);
    expect(channels.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect({ normal: sum('normal'), duplicate: sum('duplicate'), bytes: sum('bytes') }).toEqual({
      normal: ram['normal'],
      duplicate: ram['duplicate'],
      bytes: ram['multifd-bytes'],
    });
    expect(ram['multifd-bytes']! + ram['precopy-bytes']!).toBe(ram['transferred']);
    expect(ram['multifd-bytes']).toBeGreaterThan(ram['normal-bytes']!);
  }
});

test('both ends count the same bytes on each channel', async () => {
  const folder = await temporaryFolder();
  const source = join(folder, 'some.file');
  await writeFile(source, randomBytes('json', 3 * 2 ** 20));
  const { receiver, uri } = await startReceiver(
    `unix:${folder}/socket`,
    join(folder, 'image'),
    '--compression',
    'zlib',
  );
  const sent = parseLines(
    (await run('send', source, uri, '--json', '--compression', 'zlib')).stdout,
  ).at(-1)!;
  const received = parseLines((await receiver.ended).stdout).at(-1)!;
  expect(received['channels']).toEqual(sent['channels']);
});

test('a receiver whose source has gone before it could be told is done, and says so', async () => {
  const { receiver, uri } = await startReceiver(
    'tcp:127.0.0.1:0',
    join(await temporaryFolder(), 'image'),
  );
  const source = await Source.connect(uri, 2);
  source.toAll(syncPacket(), syncPacket());
  source.main.put(
    header(),
    openReturnPath(),
    start([{ id: 'ram', length: PAGE }]),
    flush(),
    endOfSection(),
    end(),
    flush(),
    endOfSection(),
  );
  await source.main.putAll(endOfFile());
  source.main.end();
  await source.close();
  const { status, stdout, stderr } = await receiver.ended;
  expect(status).toBe(0);
  expect(parseLines(stdout).at(-1)).toMatchObject({ event: 'completed', confirmed: false });
  expect(stderr).toMatch(
    /^multifd: warning: complete, but the source was gone before it could be told/,
  );
});

test('what fails before it begins has a result of zeros', async () => {
  const { stdout } = await run('send', 'no such file', 'tcp:127.0.0.1:1', '--json');
  const [result, ...more] = parseLines(stdout);
  expect(more).toEqual([]);
  expect(Object.keys(result!)).toEqual(['event', ...STATISTICS, 'error']);
  expect(result).toMatchObject({
    event: 'failed',
    'total-time': 0,
    'setup-time': 0,
    channels: [],
    blocks: [],
    error: { code: 'ERR_IO', message: expect.stringContaining('no such file') },
  });
  const { 'page-size': pageSize, ...zeros } = result!['ram'] as Record<string, number>;
  expect(pageSize).toBe(PAGE);
  expect(new Set(Object.values(zeros))).toEqual(new Set([0]));
});

test('an error says where it was seen', async () => {
  const folder = await temporaryFolder();
  const source = join(folder, 'some.file');
  await writeFile(source, 'x');
  const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', join(folder, 'image'));
  await run('send', source, uri, '--compression', 'zlib');
  const { error } = parseLines((await receiver.ended).stdout).at(-1)!;
  expect(error).toMatchObject({
    code: 'ERR_COMPRESSION',
    channel: expect.any(Number),
    packet: expect.any(Number),
  });
});

test('extract and inspect answer in JSON too', async () => {
  const folder = await temporaryFolder();
  const source = join(folder, 'some.file');
  const image = join(folder, 'image');
  await writeFile(source, randomBytes('json', 5000));
  await run('send', source, `file:${image}`);

  const inspected = await run('inspect', image, '--json');
  expect(JSON.parse(inspected.stdout)).toMatchObject({
    machine: 'none',
    capabilities: ['mapped-ram'],
    uuid: null,
    pageSize: PAGE,
    blocks: [
      { id: 'some.file', usedLength: 2 * PAGE, length: 5000, pages: 2, present: 2, zero: 0 },
    ],
  });
  const extracted = await run('extract', image, 'some.file', join(folder, 'copy'), '--json');
  expect(parseLines(extracted.stdout)).toEqual([
    { event: 'completed', block: 'some.file', bytes: 5000 },
  ]);
  const refused = await run('extract', image, 'other', join(folder, 'other'), '--json');
  expect(refused.status).toBe(1);
  expect(parseLines(refused.stdout)).toEqual([
    {
      event: 'failed',
      block: 'other',
      bytes: 0,
      error: { code: 'ERR_NO_BLOCK', message: expect.stringContaining('some.file') },
    },
  ]);
});
