import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { errorsOf, resultOf, run, start, temporaryFolder } from '../../support/command.ts';

const BOTH_ENDS = [
  'channels',
  'compression',
  'uuid',
  'switchover-ack',
  'page-size',
  'timeout',
  'tls-creds-dir',
  'tls-verify-peer',
  'token-file',
  'force',
  'json',
  'quiet',
  'verbose',
  'help',
];
const PROXY_REST = [
  'tls-creds-dir',
  'to-tls-creds-dir',
  'max-connections',
  'max-wait',
  'timeout',
  'json',
  'quiet',
  'help',
];

describe('help', () => {
  test.each([
    [
      'send',
      [
        ...BOTH_ENDS,
        'block',
        'raw',
        'listen',
        'no-multifd',
        'postcopy',
        'postcopy-after',
        'postcopy-preempt',
        'resume',
        'zlib-level',
        'zstd-level',
        'zero-page-detection',
        'max-bandwidth',
        'offset',
        'tls-hostname',
        'tls-psk-username',
        'image-token-file',
        'commit-timeout',
        'max-device-state',
      ],
    ],
    [
      'receive',
      [
        ...BOTH_ENDS,
        'block',
        'connect',
        'max-size',
        'max-device-state',
        'recovery-timeout',
        'tls-authz',
        'origin',
      ],
    ],
    [
      'extract',
      ['format', 'max-device-state', 'offset', 'force', 'json', 'quiet', 'help', 'token-file'],
    ],
    [
      'inspect',
      [
        'devices',
        'device',
        'max-device-state',
        'offset',
        'page-size',
        'json',
        'help',
        'token-file',
      ],
    ],
    [
      'record',
      [
        'channels',
        'page-size',
        'timeout',
        'token-file',
        'origin',
        'keep',
        'force',
        'json',
        'quiet',
        'verbose',
        'help',
      ],
    ],
    [
      'replay',
      ['timing', 'timeout', 'commit-timeout', 'token-file', 'json', 'quiet', 'verbose', 'help'],
    ],
    ['proxy', ['rendezvous', 'token-file', 'to-token-file', 'origin', 'to-origin', ...PROXY_REST]],
  ])('%s lists the options that mean something for it, and examples', async (command, options) => {
    const { status, stdout, stderr } = await run(command, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const listed = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name!);
    expect(listed.sort()).toEqual([...options].sort());
    expect(stdout).toContain(`$ multifd ${command} `);
  });

  test.each([
    ['channels', '2'],
    ['compression', '"none"'],
    ['timeout', '30'],
    ['zlib-level', '1'],
    ['zstd-level', '1'],
    ['zero-page-detection', '"multifd"'],
    ['max-bandwidth', '0'],
  ])('the default of --%s is %s', async (option, value) => {
    const { stdout } = await run('send', '--help');
    const descriptions = stdout.replace(/\s+/g, ' ').split(' --');
    expect(descriptions.find((text) => text.startsWith(`${option} `))).toContain(
      `default: ${value})`,
    );
  });

  test('the command alone is wrong usage, and prints the help to stderr', async () => {
    const { status, stdout, stderr } = await run();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: multifd');
  });

  test('the version is a version', async () => {
    const { status, stdout } = await run('--version');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('wrong usage ends with status 2 and one error', () => {
  test.each([
    ['an unknown command', ['migrate'], 'ERR_OPTION'],
    ['an unknown option', ['inspect', 'a', '--channels', '2'], 'ERR_OPTION'],
    ['a missing argument', ['send', 'file'], 'ERR_OPTION'],
    ['an argument too many', ['inspect', 'a', 'b'], 'ERR_OPTION'],
    ['extracting without a file', ['extract', 'a', 'b'], 'ERR_OPTION'],
    [
      'extracting a block to a core file',
      ['extract', 'a', 'b', 'c', '--format', 'elf'],
      'ERR_OPTION',
    ],
    [
      'extracting in an unknown format',
      ['extract', 'a', 'b', 'c', '--format', 'coff'],
      'ERR_OPTION',
    ],
    [
      'a number that is none',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--channels', 'two'],
      'ERR_OPTION',
    ],
    ['no channel', ['receive', 'tcp:127.0.0.1:0', 'image', '--channels', '0'], 'ERR_OPTION'],
    [
      'too many channels',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--channels', '256'],
      'ERR_OPTION',
    ],
    [
      'an unknown compression',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--compression', 'lz4'],
      'ERR_OPTION',
    ],
    [
      'a page size between powers of two',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--page-size', '5000'],
      'ERR_OPTION',
    ],
    [
      'a page size with an unknown suffix',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--page-size', '64Q'],
      'ERR_OPTION',
    ],
    ['no time at all', ['receive', 'tcp:127.0.0.1:0', 'image', '--timeout', '0'], 'ERR_OPTION'],
    [
      'a uuid that is none',
      ['receive', 'tcp:127.0.0.1:0', 'image', '--uuid', '1234'],
      'ERR_OPTION',
    ],
    [
      'a zlib level above 9',
      ['send', process.execPath, 'unix:nowhere', '--zlib-level', '10'],
      'ERR_OPTION',
    ],
    [
      'a zstd level of 0',
      ['send', process.execPath, 'unix:nowhere', '--zstd-level', '0'],
      'ERR_OPTION',
    ],
    [
      'an unknown place to look for zero pages',
      ['send', process.execPath, 'unix:nowhere', '--zero-page-detection', 'all'],
      'ERR_OPTION',
    ],
    [
      'compression in an image',
      ['send', process.execPath, 'file:nowhere', '--compression', 'zlib'],
      'ERR_OPTION',
    ],
    [
      'TLS without credentials',
      ['send', process.execPath, 'unix:nowhere', '--tls-hostname', 'a.example'],
      'ERR_OPTION',
    ],
    [
      'TLS for an image',
      ['receive', 'file:nowhere', 'image', '--tls-creds-dir', '/nowhere'],
      'ERR_OPTION',
    ],
    ['a URI of an unknown kind', ['receive', 'rdma:127.0.0.1:4444', 'image'], 'ERR_URI'],
    ['a URI without a port', ['send', process.execPath, 'tcp:127.0.0.1'], 'ERR_URI'],
  ])('%s', async (_, args, code) => {
    const ended = await run(...args);
    expect(ended.stderr).toMatch(/^multifd: [^\n]+\n$/);
    expect({ status: ended.status, stdout: ended.stdout, errors: errorsOf(ended) }).toEqual({
      status: 2,
      stdout: '',
      errors: [code],
    });
  });

  test('with --json, the result is on stdout as well', async () => {
    const ended = await run('receive', 'tcp:127.0.0.1:0', 'image', '--frobnicate', '--json');
    expect(ended.status).toBe(2);
    expect(resultOf(ended)).toMatchObject({
      event: 'failed',
      channels: [],
      blocks: [],
      error: { code: 'ERR_OPTION', message: expect.stringContaining('--frobnicate') },
    });
  });
});

test('nobody reading stdout is no error', async () => {
  const folder = await temporaryFolder();
  await run('send', process.execPath, `file:${folder}/image`);
  const inspect = start('inspect', `${folder}/image`);
  inspect.child.stdout!.destroy();
  await once(inspect.child, 'exit');
  expect(await inspect.ended).toMatchObject({ status: 0, stderr: '' });
});
