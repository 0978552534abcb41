import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../support/command.ts';

interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a server that does not come to serve. */
function run(name: string, ...args: readonly string[]): Promise<Ended> {
  const file = fileURLToPath(new URL(`../../../build/examples/${name}.js`, import.meta.url));
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [file, ...args], (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
  });
}

describe.each(['browser-server', 'sqlite-server'])('%s', (name) => {
  test('tells with --help how it is used', async () => {
    const { status, stdout, stderr } = await run(name, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
    expect(stdout).toContain('--port <n>');
  });

  test.each([[['--prot', '1']], [['--port', 'x']], [['--port', '70000']]])(
    'refuses %j as the command does',
    async (args) => {
      const { status, stdout, stderr } = await run(name, ...args);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(
        new RegExp(`^${name}: ERR_OPTION: [^\\n]*--port[^\\n]*--help[^\\n]*\\n$`),
      );
    },
  );

  test('says which port is in use, and what helps', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const { status, stderr } = await run(name, '--port', String(port));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`^${name}: ERR_LISTEN: 127.0.0.1:${port} [^\\n]*--port[^\\n]*\\n$`),
    );
  });
});

test('a file that is missing or no image, and a folder that is missing, are named', async () => {
  const folder = await temporaryFolder();
  const missing = join(folder, 'missing');
  const other = join(folder, 'other');
  await writeFile(other, 'QFI\u00fb, in UTF-8');
  for (const [args, says] of [
    [[missing], /^browser-server: ERR_IO: cannot open \S+missing: [^\n]+\n$/],
    [[other], /^browser-server: ERR_MAGIC: \S+other: this is no mapped-ram image[^\n]+\n$/],
    [['--folder', missing], /^browser-server: ERR_IO: \S+missing is no folder[^\n]+\n$/],
  ] as const) {
    const { status, stderr } = await run('browser-server', '--port', '0', ...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(says);
  }
});
