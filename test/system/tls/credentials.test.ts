import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type IncomingTls, type OutgoingTls, receive, send } from 'multifd';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf, leavingNothing } from '../../support/migration.ts';
import { randomBytes } from '../../support/random.ts';
import { errorsOf, run, start, startReceiver, temporaryFolder } from '../../support/command.ts';
import { folderOf, KEY } from '../../support/authority.ts';
import { Credentials } from '../../support/tls.ts';

describe('TLS credentials', () => {
  let credentials: Credentials;
  const of = (name: string): { credsDir: string } => ({ credsDir: credentials.of(name) });
  const pem = (folder: string, file: string): Promise<string> =>
    readFile(join(credentials.of(folder), file), 'utf8');

  beforeAll(async () => {
    credentials = await Credentials.create();
  });
  afterAll(() => credentials.remove());

  const receiving = (tls: IncomingTls): Promise<unknown> =>
    receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: new Uint8Array(4096) }, tls });
  const sending = (tls: OutgoingTls, uri = 'tcp:127.0.0.1:1'): Promise<unknown> =>
    send({ uri, blocks: [{ id: 'ram', source: new Uint8Array(4096) }], tls });

  /** A copy of a folder with some files changed, or taken away. */
  async function changed(
    name: string,
    files: readonly string[],
    change: Readonly<Record<string, string | undefined>>,
  ): Promise<{ credsDir: string }> {
    const all: Record<string, string | undefined> = {};
    for (const file of files) all[file] = await pem(name, file);
    const left = Object.entries({ ...all, ...change }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    return { credsDir: await folderOf(await temporaryFolder(), 'creds', Object.fromEntries(left)) };
  }
  const SERVER = ['ca-cert.pem', 'server-cert.pem', 'server-key.pem'];
  const CLIENT = ['ca-cert.pem', 'client-cert.pem', 'client-key.pem'];
  const server = (
    change: Readonly<Record<string, string | undefined>>,
  ): Promise<{ credsDir: string }> => changed('server', SERVER, change);
  const client = (
    change: Readonly<Record<string, string | undefined>>,
  ): Promise<{ credsDir: string }> => changed('client', CLIENT, change);

  it.each<[string, () => Promise<unknown>, string, RegExp]>([
    [
      'a folder that is missing',
      () => receiving({ credsDir: '/nowhere' }),
      'ERR_IO',
      /\/nowhere holds no TLS credentials/,
    ],
    [
      'a folder that is a file',
      () => receiving({ credsDir: process.execPath }),
      'ERR_IO',
      /cannot open .*not a directory/,
    ],
    [
      'an authority that is missing',
      async () => receiving(await server({ 'ca-cert.pem': undefined })),
      'ERR_IO',
      /holds no TLS credentials: put ca-cert.pem/,
    ],
    [
      'a certificate that is missing',
      async () => receiving(await server({ 'server-cert.pem': undefined })),
      'ERR_IO',
      /server-cert.pem is missing/,
    ],
    [
      'a key that is missing',
      async () => receiving(await server({ 'server-key.pem': undefined })),
      'ERR_IO',
      /server-key.pem is missing/,
    ],
    [
      'a client key that is missing',
      async () => sending(await client({ 'client-key.pem': undefined })),
      'ERR_IO',
      /client-key.pem is missing/,
    ],
    [
      'a client certificate that is missing',
      async () => sending(await client({ 'client-cert.pem': undefined })),
      'ERR_IO',
      /client-cert.pem is missing/,
    ],
    [
      'both kinds',
      async () => receiving(await server({ 'keys.psk': `qemu:${KEY}\n` })),
      'ERR_TLS',
      /holds both/,
    ],
    [
      'an authority that is no PEM',
      async () => receiving(await server({ 'ca-cert.pem': 'hello' })),
      'ERR_TLS',
      /ca-cert.pem holds no certificate/,
    ],
    [
      'a broken certificate',
      async () =>
        receiving(
          await server({
            'server-cert.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
          }),
        ),
      'ERR_TLS',
      /server-cert.pem holds a broken certificate/,
    ],
    [
      'a key that is none',
      async () => receiving(await server({ 'server-key.pem': 'hello' })),
      'ERR_TLS',
      /server-key.pem holds no private key/,
    ],
    [
      'an encrypted key',
      async () =>
        receiving(
          await server({ 'server-key.pem': '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n' }),
        ),
      'ERR_TLS',
      /server-key.pem is encrypted/,
    ],
    [
      "another certificate's key",
      async () =>
        receiving(await server({ 'server-key.pem': await pem('client', 'client-key.pem') })),
      'ERR_TLS',
      /is not the key of server-cert.pem/,
    ],
    [
      'a broken list of revoked certificates',
      async () => receiving(await server({ 'ca-crl.pem': 'hello' })),
      'ERR_TLS',
      /can't be used/,
    ],
    [
      'an expired certificate of its own',
      () => receiving(of('server-expired')),
      'ERR_TLS',
      /expired on/,
    ],
    [
      'an expired certificate of its own, at the source',
      () => sending(of('client-expired')),
      'ERR_TLS',
      /expired on/,
    ],
    [
      'a username without a key',
      () => sending({ ...of('psk'), pskUsername: 'nobody' }),
      'ERR_TLS',
      /no key of "nobody"/,
    ],
    [
      'no key of the default username',
      async () => sending(await changed('psk', [], { 'keys.psk': `bob:${KEY}\n` })),
      'ERR_TLS',
      /no key of "qemu"/,
    ],
    [
      'no keys at all',
      async () => receiving(await changed('psk', [], { 'keys.psk': '\n# nothing\n' })),
      'ERR_TLS',
      /holds no key/,
    ],
    [
      'a key that is no hex',
      async () => receiving(await changed('psk', [], { 'keys.psk': `a:${KEY}\nqemu:secret!\n` })),
      'ERR_TLS',
      /keys.psk, line 2 is not of the form/,
    ],
    [
      'no hostname to check over unix',
      () => sending(of('client'), 'unix:/nowhere'),
      'ERR_OPTION',
      /give a TLS hostname/,
    ],
    [
      'a PSK username with certificates',
      () => sending({ ...of('client'), pskUsername: 'qemu' }),
      'ERR_OPTION',
      /is for keys.psk/,
    ],
    [
      'a hostname with keys',
      () => sending({ ...of('psk'), hostname: 'a' }),
      'ERR_OPTION',
      /is for certificates/,
    ],
    [
      'verify-peer off with keys',
      () => receiving({ ...of('psk'), verifyPeer: false }),
      'ERR_OPTION',
      /is for certificates/,
    ],
    [
      'authz with keys',
      () => receiving({ ...of('psk'), authz: ['CN=a'] }),
      'ERR_OPTION',
      /is for certificates/,
    ],
    [
      'authz of those who need no certificate',
      () => receiving({ ...of('server'), verifyPeer: false, authz: ['CN=a'] }),
      'ERR_OPTION',
      /verify-peer off/,
    ],
    [
      'an image to load',
      () => receive({ uri: 'file:/nowhere', blocks: {}, tls: of('server') }),
      'ERR_OPTION',
      /leave it out/,
    ],
    [
      'an image to write',
      () => sending(of('client'), 'file:/nowhere/image'),
      'ERR_OPTION',
      /leave it out/,
    ],
  ])('%s', async (_, act, code, message) => {
    await leavingNothing(async () => {
      const error = await errorOf(act());
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
      expect(`${error.message} ${String(error.cause)}`).not.toMatch(/BEGIN|secret|00112233/);
    });
  });

  it.skipIf(process.getuid?.() === 0)('a key that may not be read', async () => {
    const creds = await server({});
    await chmod(join(creds.credsDir, 'server-key.pem'), 0);
    expect(await errorOf(receiving(creds))).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(/server-key.pem/),
    });
  });

  it('several keys, with comments, blank lines and the other way to end a line', async () => {
    const creds = await changed('psk', [], {
      'keys.psk': `# keys\r\nalice:${KEY}\r\n\r\nqemu:${KEY.toUpperCase()}\r\n`,
    });
    const abort = new AbortController();
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      blocks: { ram: new Uint8Array(4096) },
      tls: creds,
      signal: abort.signal,
    });
    await send({
      uri: incoming.uri,
      blocks: [{ id: 'ram', source: new Uint8Array(4096) }],
      tls: of('psk'),
    });
    await incoming.completed;
  });
});

describe('the command with TLS', () => {
  it('moves a file; tells of a source without the right key, and goes on listening', async () => {
    const credentials = await Credentials.create();
    const folder = await temporaryFolder();
    const source = join(folder, 'source.bin');
    await writeFile(source, randomBytes('tls command', 3_000_000));
    await mkdir(join(folder, 'out'));
    const image = join(folder, 'out', 'image');
    const { receiver, uri } = await startReceiver(
      'tcp:127.0.0.1:0',
      image,
      '--tls-creds-dir',
      credentials.of('server'),
      '--tls-authz',
      'CN=nobody',
      '--tls-authz',
      'C=GB,O=Example\\, Inc,CN=client',
    );

    const refused = await run('send', source, uri, '--tls-creds-dir', credentials.of('anonymous'));
    expect({ status: refused.status, errors: errorsOf(refused) }).toEqual({
      status: 1,
      errors: ['ERR_TLS'],
    });
    await receiver.said(/^multifd: dropped a connection from 127.0.0.1: it has no certificate/m);
    expect(
      errorsOf(
        await run(
          'send',
          source,
          uri,
          '--tls-creds-dir',
          credentials.of('client'),
          '--tls-hostname',
          'other.example.com',
        ),
      ),
    ).toEqual(['ERR_TLS']);

    expect(
      await start('send', source, uri, '--tls-creds-dir', credentials.of('client')).ended,
    ).toMatchObject({ status: 0 });
    expect(await receiver.ended).toMatchObject({ status: 0 });
    expect(await run('extract', image, 'source.bin', join(folder, 'copy'))).toMatchObject({
      status: 0,
    });
    expect(Buffer.compare(await readFile(join(folder, 'copy')), await readFile(source))).toBe(0);
    await credentials.remove();
  });

  it('with keys, and options that fit neither', async () => {
    const credentials = await Credentials.create();
    const folder = await temporaryFolder();
    const { receiver, uri } = await startReceiver(
      `unix:${folder}/socket`,
      join(folder, 'image'),
      '--tls-creds-dir',
      credentials.of('psk'),
    );
    const wrong = await run(
      'send',
      join(credentials.of('psk'), 'keys.psk'),
      uri,
      '--tls-creds-dir',
      credentials.of('psk'),
      '--tls-verify-peer',
      'off',
    );
    expect({ status: wrong.status, errors: errorsOf(wrong) }).toEqual({
      status: 2,
      errors: ['ERR_OPTION'],
    });
    expect(
      await run(
        'send',
        join(credentials.of('psk'), 'keys.psk'),
        uri,
        '--tls-creds-dir',
        credentials.of('psk'),
        '--tls-psk-username',
        'alice',
      ),
    ).toMatchObject({ status: 0 });
    expect(await receiver.ended).toMatchObject({ status: 0 });
    await credentials.remove();
  });
});
