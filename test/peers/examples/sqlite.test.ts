import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MultifdError, type Round } from 'multifd';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Home } from '../../../examples/sqlite/home.ts';
import { readModule } from '../../../examples/sqlite/module-file.ts';
import { TargetProcess } from '../../../examples/sqlite/target-process.ts';
import type { Writer } from '../../../examples/sqlite/writer.ts';
import { binaryOf, locate } from '../runtimes/locate.ts';

const EXAMPLE = fileURLToPath(new URL('../../../build/examples/sqlite.js', import.meta.url));
const TARGET = new URL('../../../build/examples/sqlite-target.js', import.meta.url);

function startTarget(): TargetProcess {
  const target = new TargetProcess(TARGET);
  onTestFinished(() => target.stop());
  return target;
}

/** Lets the writer go on for some transactions. */
async function more(writer: Writer): Promise<void> {
  const enough = writer.committed + 100;
  while (writer.committed < enough) await Promise.race([turn(), writer.failure]);
}

/** @param where it has to say that the writer goes on. */
async function moveByExample(args: readonly string[], where: string): Promise<void> {
  const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLE, '16', ...args]);
  const verdicts = [...stdout.matchAll(/^(ok|WRONG) +(.+): (.+)$/gm)].map(
    ([, verdict, name, found]) => ({ verdict, name, found }),
  );
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(Array<string>(8).fill('ok'));
  expect(verdicts).toContainEqual({ verdict: 'ok', name: 'PRAGMA integrity_check', found: 'ok' });
  expect(verdicts).toContainEqual({ verdict: 'ok', name: 'accounts', found: '16384' });

  const came = Number(verdicts[0]!.found);
  const there = Number(verdicts.find(({ name }) => name === 'transfers')!.found);
  expect(came).toBeGreaterThan(0);
  expect(there).toBeGreaterThan(came);
  expect(stdout).toMatch(/^ +1 +[\d ]+ +[\d ]+ +[\d ]+ +\d+ ms$/m);
  expect(stdout).toMatch(/^downtime, .*: [\d.]+ ms$/m);
  expect(stdout).toContain(`\nAll is there, and the writer goes on in ${where}.\n`);
}

test.each(['compare', 'hash'])(
  'the example moves a database by %s, finds all of it at the target, and says how long it ' +
    'stood still',
  async (tracking) => {
    await moveByExample(['--tracking', tracking], `Node ${process.versions.node}`);
  },
);

test('the example moves it to Deno, where the writer goes on', async (context) => {
  const deno = binaryOf('deno', context);
  const found = locate('deno');
  await moveByExample(['--deno', deno], `Deno ${'version' in found && found.version}`);
});

test('a Deno that is not there ends the example, which says so', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [EXAMPLE, '1', '--deno', '/nowhere/deno'],
    { encoding: 'utf8' },
  );
  expect(status).toBe(1);
  expect(stderr).toContain('/nowhere/deno');
});

test('the example refuses what it can not do, and starts nothing', () => {
  for (const wrong of [['0'], ['1', '2'], ['--tracking', 'bitmap']]) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [EXAMPLE, ...wrong], {
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^(give|--tracking)/);
  }
});

test("a target that dies leaves the source's database at work and whole, and it can still be moved", async () => {
  const source = await Home.open(await readModule());
  const writer = source.found(16 * 2 ** 20);
  const { ledger } = source;
  onTestFinished(() => writer.stop());
  writer.start();

  // Between two rounds, and then once the writer has stopped.
  const first = startTarget();
  const killFirst = (): void => void first.child.kill('SIGKILL');
  await expect(
    source.migrate({ uri: await first.listening, downtimeLimit: 0, onRound: killFirst }),
  ).rejects.toThrow(MultifdError);
  await more(writer);

  const second = startTarget();
  const stop = writer.stop.bind(writer);
  const stopped = vi.spyOn(writer, 'stop').mockImplementation(() => {
    stop();
    second.child.kill('SIGKILL');
  });
  const gone = once(second.child, 'exit');
  await expect(
    source.migrate({ uri: await second.listening, downtimeLimit: 2_000_000 }),
  ).rejects.toThrow(MultifdError);
  expect(stopped).toHaveBeenCalledOnce();
  stopped.mockRestore();
  await gone;
  await more(writer);

  for (const { name, expected, found } of ledger.verify(writer.committed))
    expect(`${name}: ${found}`).toBe(`${name}: ${expected}`);

  // This time with a database that becomes three times as large on the way.
  const third = startTarget();
  const before = source.memory.buffer.byteLength;
  const onRound = ({ round }: Round): void => {
    if (round === 1) ledger.fill(32 * 2 ** 20);
  };
  const { ram } = await source.migrate({
    uri: await third.listening,
    downtimeLimit: 0,
    onMaxRounds: 'stop',
    maxRounds: 3,
    onRound,
  });
  expect(ram.total).toBe(source.memory.buffer.byteLength);
  expect(ram.total).toBeGreaterThan(2 * before);
  const outcome = await third.outcome;
  expect(outcome.checks).toContainEqual({ name: 'accounts', expected: '49152', found: '49152' });
  expect(outcome.arrived).toBe(writer.committed);
  expect(outcome.pace.transactions).toBeGreaterThan(0);
  for (const { name, expected, found } of outcome.checks)
    expect(`${name}: ${found}`).toBe(`${name}: ${expected}`);
});
