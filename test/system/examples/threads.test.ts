import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Guest, MultifdError } from 'multifd';
import { expect, onTestFinished, test } from 'vitest';
import { CHANNELS, Crew } from '../../../examples/threads/crew.ts';
import { TargetProcess } from '../../../examples/threads/target-process.ts';

const MEBIBYTES = 8;
const FOLDER = new URL('../../../build/examples/', import.meta.url);
const EXAMPLE = fileURLToPath(new URL('threads.js', FOLDER));

function startTarget(): TargetProcess {
  const target = new TargetProcess(new URL('threads-target.js', FOLDER), MEBIBYTES);
  onTestFinished(() => target.stop());
  return target;
}

test('a guest of several threads moves while they work', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLE, String(MEBIBYTES)]);
  expect(stdout).toMatch(
    /^3 threads work on 8 MiB of shared memory\nround 1: 2048 pages looked at, 2048 sent/,
  );
  expect(stdout).toMatch(
    /stood still for [\d.]+ ms, in pass \d+, \d+, \d+; pages with a wrong count there: 0\n/,
  );
  expect(stdout).toMatch(/went on there to pass \d+, \d+, \d+; pages with a wrong count: 0\n$/);
});

test("the example refuses a size that it can't have, and starts nothing", () => {
  for (const wrong of ['0', '1.5', 'all', '4096']) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [EXAMPLE, wrong], {
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: '',
      stderr: 'give the size of the memory in MiB, 1 to 2048\n',
    });
  }
});

test(
  'a target that dies leaves the threads at work, with every count right, and they can still ' +
    'be moved',
  async () => {
    const crew = await Crew.hire(MEBIBYTES, FOLDER);
    onTestFinished(() => crew.leave());
    crew.start();
    let onStop = (): void => {};
    const calls: string[] = [];
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: crew.memory }],
      stop() {
        calls.push('stop');
        const rest = crew.rest();
        onStop();
        return rest;
      },
      resume() {
        calls.push('resume');
        return crew.resume();
      },
    });

    // Between two rounds, and then while the threads are stopping.
    const first = startTarget();
    const uri = await first.says('listening');
    await expect(
      guest.migrate({
        uri,
        channels: CHANNELS,
        downtimeLimit: 0,
        onRound: () => void first.child.kill('SIGKILL'),
      }),
    ).rejects.toThrow(MultifdError);
    expect(calls).toEqual([]);
    await crew.onceAround();

    const second = startTarget();
    const gone = once(second.child, 'close');
    onStop = () => void second.child.kill('SIGKILL');
    await expect(
      guest.migrate({
        uri: await second.says('listening'),
        channels: CHANNELS,
        downtimeLimit: 2_000_000,
      }),
    ).rejects.toThrow(MultifdError);
    expect(calls).toEqual(['stop', 'resume']);
    await gone;
    await expect(second.says('arrived')).rejects.toThrow('SIGKILL');
    await crew.onceAround();
    await crew.rest();
    expect(crew.state.wrong).toBe(0);
    await crew.resume();

    onStop = () => {};
    const third = startTarget();
    await guest.migrate({ uri: await third.says('listening'), channels: CHANNELS });
    expect(await third.says('arrived')).toEqual(crew.state);
    const ended = await third.says('ended');
    expect(ended.wrong).toBe(0);
    for (const [thread, pass] of crew.passes.entries())
      expect(ended.passes[thread]).toBeGreaterThan(pass);

    // The check can fail: a page as it was at first.
    new Uint8Array(crew.memory.buffer).fill(0, 3 * 4096, 4 * 4096);
    expect(crew.state.wrong).toBe(1);
  },
);
