import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { runtime } from './runtime.ts';

const SERVICE = fileURLToPath(new URL('../../../examples/deno/service.ts', import.meta.url));
const token = 'a.test-token';

/** @returns the host and port where it listens. */
async function start(...args: string[]): Promise<string> {
  const child: ChildProcess = spawn(
    runtime('deno'),
    ['run', '-A', '--no-check', SERVICE, '0', ...args],
    { env: { ...process.env, TOKEN: token, NO_COLOR: '1' }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  for await (const text of child.stderr!.setEncoding('utf8')) {
    said += text;
    const found = /Listening on http:\/\/([\d.:]+)\//.exec(said);
    if (found !== null) return found[1]!;
  }
  throw new Error(`the service ended: ${said}`);
}

async function ask(host: string, path: string, init?: RequestInit): Promise<[number, string]> {
  const response = await fetch(`http://${host}${path}`, init);
  return [response.status, await response.text()];
}

test.each(['ws', 'http'])(
  'a service moves from one Deno process to another by %s while it is used',
  async (scheme) => {
    const [from, to] = await Promise.all([start(), start('--wait')]);
    expect(await ask(from, '/7')).toEqual([200, '1\n']);
    expect(await ask(from, '/4194303')).toEqual([200, '1\n']);
    expect(await ask(from, '/4194304')).toEqual([404, expect.any(String)]);
    expect(await ask(to, '/7')).toEqual([503, expect.any(String)]);
    const move = `/move?to=${scheme}://${to}/multifd`;
    expect(await ask(from, move, { method: 'POST' })).toEqual([401, expect.any(String)]);
    const headers = { authorization: `Bearer ${token}` };

    let visits = 1;
    let moving = true;
    const moved = ask(from, move, { method: 'POST', headers }).finally(() => (moving = false));
    while (moving) if ((await ask(from, '/7'))[0] === 200) visits++;
    expect(await moved).toEqual([
      200,
      expect.stringMatching(/^moved; stood still for [\d.]+ ms\n$/),
    ]);
    expect(await ask(to, '/7')).toEqual([200, `${visits + 1}\n`]);
    expect(await ask(to, '/4194303')).toEqual([200, '2\n']);
    expect(await ask(from, '/7')).toEqual([503, expect.any(String)]);
  },
);

test('a move that fails leaves the service where it is', async () => {
  const from = await start();
  expect(await ask(from, '/1')).toEqual([200, '1\n']);
  expect(
    await ask(from, '/move?to=ws://127.0.0.1:1/multifd', {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    }),
  ).toEqual([502, expect.any(String)]);
  expect(await ask(from, '/1')).toEqual([200, '2\n']);
});

test.each([
  [['--help'], 0, /^TOKEN=SECRET deno run /],
  [['eight'], 2, /^ERR_OPTION: give a port/],
])('%j is answered as the command does', async (args, status, says) => {
  const ended = spawnSync(runtime('deno'), ['run', '-A', '--no-check', SERVICE, ...args], {
    env: { ...process.env, TOKEN: token, NO_COLOR: '1' },
    encoding: 'utf8',
  });
  expect(ended.status).toBe(status);
  expect(ended.stdout + ended.stderr).toMatch(says);
});

test('a port in use is named', async () => {
  const port = (await start()).split(':')[1]!;
  const { status, stderr } = spawnSync(
    runtime('deno'),
    ['run', '-A', '--no-check', SERVICE, port],
    { env: { ...process.env, TOKEN: token, NO_COLOR: '1' }, encoding: 'utf8' },
  );
  expect(status).toBe(1);
  expect(stderr).toMatch(new RegExp(`^ERR_LISTEN: 127.0.0.1:${port} `));
});
