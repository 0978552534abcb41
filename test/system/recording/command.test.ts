import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  errorsOf,
  parseLines,
  resultOf,
  run,
  start,
  startReceiver,
  temporaryFolder,
} from '../../support/command.ts';
import { KNOWN } from '../../support/known-recordings.ts';
import { fixture, messages, writeRecording } from '../../support/recording.ts';

const NAME = 'qemu-10.0-microvm-zlib';
const known = KNOWN[NAME]!;

describe('inspect', () => {
  test('tells a recording from an image by itself', async () => {
    const { status, stdout, stderr } = await run('inspect', fixture(NAME));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = new Map(
      stdout
        .split('\n')
        .map((line) => line.split(/ {2,}/))
        .map(([name, ...cells]) => [name!, cells]),
    );
    expect(lines.get('machine type')).toEqual(['microvm']);
    expect(lines.get('compression')).toEqual(['zlib']);
    expect(lines.get('return path')).toEqual(['no']);
    expect(lines.get('syncs')).toEqual(['28 in 19 sections of RAM, per round']);
    expect(lines.get('complete')).toEqual(['yes']);
    expect(lines.get('connection')).toEqual([
      'packets',
      'syncs',
      'device state',
      'normal pages',
      'zero pages',
      'bytes',
    ]);
    expect(lines.get('channel 1')).toEqual(['35', '28', '0', '21', '128', '47987']);
    expect(lines.get('microvm.ram')).toEqual(['2097152', '61', '503', '14']);
    expect(lines.get('globalstate')).toEqual(['0', '1', '104']);
  });

  test('with --json, the report is one object', async () => {
    const { stdout } = await run('inspect', fixture(NAME), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ ...known });
  });

  test('of one that was broken off, says why; of what is none, fails', async () => {
    const folder = await temporaryFolder();
    const { main, channels } = messages();
    const broken = await writeRecording(join(folder, 'broken'), {
      main: main.slice(0, 6),
      channels,
    });
    const { status, stdout } = await run('inspect', broken);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^complete {6}no: ERR_PEER_CLOSED: .*main channel/m);
    const none = await run('inspect', folder, '--json');
    expect({ status: none.status, errors: errorsOf(none) }).toEqual({
      status: 1,
      errors: ['ERR_RECORDING'],
    });
    expect(resultOf(none)).toMatchObject({ event: 'failed', error: { code: 'ERR_RECORDING' } });
  });

  test('a machine type cannot steer the terminal', async () => {
    const folder = await temporaryFolder();
    const { main, channels } = messages();
    const text = new TextDecoder().decode(main[0]!).replace('none', '\u202enon'.slice(0, 2));
    // "none" has four bytes, and so have these two characters
    const bytes = new TextEncoder().encode(text);
    const path = await writeRecording(join(folder, 'rec'), {
      main: [bytes, ...main.slice(1)],
      channels,
    });
    expect((await run('inspect', path)).stdout).toContain('\\u{202e}n');
  });
});

describe('record and replay', () => {
  test('a recording goes from one to the other, and they say what went through', async () => {
    const folder = await temporaryFolder();
    const copy = join(folder, 'copy');
    const recorder = start('record', 'tcp:127.0.0.1:0', copy, '--verbose');
    const uri = await recorder.said(/^listening on (tcp:\S+)\n/m);
    for (const { status, stdout, stderr } of [
      await run('replay', fixture(NAME), uri, '--verbose'),
      await recorder.ended,
    ]) {
      expect({ status, errors: stderr.includes('ERR_') }).toEqual({ status: 0, errors: false });
      expect(stdout).toMatch(new RegExp(`^channel 0 +${known.channels[0]!.bytes}$`, 'm'));
      expect(stdout).toMatch(new RegExp(`^total +${known.transferred}$`, 'm'));
    }
    expect(await readdir(folder)).toEqual(['copy']);
    expect(JSON.parse((await run('inspect', copy, '--json')).stdout)).toEqual({
      ...JSON.parse((await run('inspect', fixture(NAME), '--json')).stdout),
      'total-time': expect.any(Number),
      duration: expect.any(Number),
    });
  });

  test('with --json, the events are those of a migration', async () => {
    const folder = await temporaryFolder();
    const { receiver: recorder, uri } = await startReceiverAs(
      'record',
      join(folder, 'rec'),
      '--channels',
      '3',
    );
    const replayed = await run('replay', fixture(NAME), uri, '--json');
    for (const ended of [replayed, await recorder.ended]) {
      expect(parseLines(ended.stdout).at(-1)).toMatchObject({
        event: 'completed',
        transferred: known.transferred,
        'precopy-bytes': known['precopy-bytes'],
      });
      expect(parseLines(ended.stdout).map(({ event }) => event)).toContain('progress');
    }
    const total = known.blocks.reduce((sum, block) => sum + block['used-length'], 0);
    expect(parseLines((await recorder.ended).stdout).at(-1)).toMatchObject({
      ram: { total, remaining: 0 },
    });
  });

  test('a recording makes an image', async () => {
    const folder = await temporaryFolder();
    const { receiver, uri } = await startReceiver(
      'tcp:127.0.0.1:0',
      join(folder, 'image'),
      '--channels',
      '3',
      '--compression',
      'zlib',
    );
    expect(await run('replay', fixture(NAME), uri, '--quiet')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
    expect(await receiver.ended).toMatchObject({ status: 0 });
    expect(
      JSON.parse((await run('inspect', join(folder, 'image'), '--json')).stdout),
    ).toMatchObject({ machine: 'microvm', totals: { present: expect.any(Number) } });
  });

  test('Ctrl-C ends a recorder that waits, and leaves nothing', async () => {
    const folder = await temporaryFolder();
    const { receiver: recorder } = await startReceiverAs('record', join(folder, 'rec'));
    recorder.child.kill('SIGINT');
    const ended = await recorder.ended;
    expect({ status: ended.status, errors: errorsOf(ended), event: resultOf(ended).event }).toEqual(
      { status: 130, errors: ['ERR_CANCELLED'], event: 'cancelled' },
    );
    expect(await readdir(folder)).toEqual([]);
  });

  test('--keep keeps what came of a replay that is broken off; --force replaces it', async () => {
    const folder = await temporaryFolder();
    const spoilt = join(folder, 'spoilt');
    await cp(fixture(NAME), spoilt, { recursive: true });
    const content = messages({ returnPath: false }).main.slice(0, 5);
    await writeFile(join(spoilt, 'main'), Buffer.concat(content));
    const { receiver: recorder, uri } = await startReceiverAs(
      'record',
      join(folder, 'rec'),
      '--keep',
    );
    // without a return path nobody says otherwise
    expect((await run('replay', spoilt, uri)).status).toBe(0);
    const ended = await recorder.ended;
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({
      status: 1,
      errors: ['ERR_PEER_CLOSED'],
    });
    expect((await run('inspect', join(folder, 'rec'))).stdout).toMatch(
      /^complete {6}no: ERR_PEER_CLOSED/m,
    );

    expect(errorsOf(await run('record', 'tcp:127.0.0.1:0', join(folder, 'rec')))).toEqual([
      'ERR_EXISTS',
    ]);
    const again = await startReceiverAs('record', join(folder, 'rec'), '--force');
    expect((await run('replay', fixture(NAME), again.uri)).status).toBe(0);
    expect((await again.receiver.ended).status).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(['rec', 'spoilt']);
  });

  test.each([
    ['a URI of a file', ['record', 'file:x', 'rec'], 'ERR_URI'],
    ['a URI of a file to replay to', ['replay', 'rec', 'file:x'], 'ERR_URI'],
    ['too many channels', ['record', 'tcp:127.0.0.1:0', 'rec', '--channels', '257'], 'ERR_OPTION'],
    ['no folder', ['record', 'tcp:127.0.0.1:0'], 'ERR_OPTION'],
  ])('%s is wrong usage', async (_, args, code) => {
    const ended = await run(...args);
    expect({ status: ended.status, stdout: ended.stdout, errors: errorsOf(ended) }).toEqual({
      status: 2,
      stdout: '',
      errors: [code],
    });
  });
});

async function startReceiverAs(command: string, path: string, ...options: string[]) {
  const receiver = start(command, 'tcp:127.0.0.1:0', path, '--json', ...options);
  return { receiver, uri: (await receiver.event('listening'))['uri'] as string };
}
