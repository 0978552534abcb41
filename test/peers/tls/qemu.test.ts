import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractBlock, type IncomingTls, type OutgoingTls, receive, send } from 'multifd';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Qemu, QEMU_VERSIONS, qemuAvailable, type QemuVersion } from '../../support/qemu.ts';
import { entry } from '../qemu/table.ts';
import { Authority, KEY, OTHER_KEY, pskFolder, x509Folder } from '../../support/authority.ts';

/**
 * TLS with a real QEMU at the other end, which has GnuTLS inside: its own rows of credentials, in
 * both directions.
 */

const MIB = 2 ** 20;
const MEMORY = 16;
const CLIENT_NAME = 'C=GB,O=Example,CN=client.example.com';
const TIMEOUT = 8_000;

interface Row {
  row: string;
  /** The folders' names; those that QEMU and this project use in turn. */
  source: string;
  target: string;
  hostname?: string;
  verifyPeer?: boolean;
  authz?: string;
  /** Nobody says at the end that all has come. */
  blind?: true;
  /** Makes QEMU stop at TLS 1.2. */
  old?: true;
  /** What the end of this project fails with, when it is the source; undefined: it goes well. */
  refused?: 'ERR_TLS' | RegExp;
  /**
   * What this project tells of the connection it dropped, when it is the target and the one who
   * refuses.
   */
  told?: RegExp;
}

const rows: Row[] = [
  { row: 'PSK match', source: 'psk', target: 'psk' },
  {
    row: 'PSK mismatch',
    source: 'psk-other',
    target: 'psk',
    refused: /^ERR_(TLS|PEER_CLOSED)$/,
    told: /its key is not the one/,
  },
  { row: 'PSK match, no return path', source: 'psk', target: 'psk', blind: true },
  { row: 'PSK match, TLS 1.2', source: 'psk', target: 'psk', old: true },
  {
    row: 'PSK mismatch, TLS 1.2',
    source: 'psk-other',
    target: 'psk',
    old: true,
    refused: 'ERR_TLS',
    told: /its key is not the one/,
  },
  { row: 'x509 default host', source: 'client', target: 'server' },
  { row: 'x509 default host, no return path', source: 'client', target: 'server', blind: true },
  { row: 'x509 default host, TLS 1.2', source: 'client', target: 'server', old: true },
  {
    row: 'x509 override host',
    source: 'client',
    target: 'server-named',
    hostname: 'target.example.com',
  },
  { row: 'x509 mismatched host', source: 'client', target: 'server-named', refused: 'ERR_TLS' },
  {
    row: 'x509 anonymous client allowed',
    source: 'anonymous',
    target: 'server',
    verifyPeer: false,
  },
  {
    row: 'x509 anonymous client refused',
    source: 'anonymous',
    target: 'server',
    refused: /^ERR_(TLS|PEER_CLOSED)$/,
    told: /it has no certificate/,
  },
  {
    row: 'x509 anonymous client refused, TLS 1.2',
    source: 'anonymous',
    target: 'server',
    old: true,
    refused: /^ERR_(TLS|PEER_CLOSED)$/,
    told: /it has no certificate/,
  },
  { row: 'x509 authz allowed', source: 'client', target: 'server', authz: CLIENT_NAME },
  {
    row: 'x509 authz refused',
    source: 'client',
    target: 'server',
    authz: 'C=GB,O=Example,CN=other.example.com',
    refused: /^ERR_(TLS|PEER_CLOSED)$/,
    told: /its certificate is for C=GB,O=Example,CN=client.example.com/,
  },
];

const VERSIONS: Array<{ version: QemuVersion; channels: number }> = [
  { version: '11.1', channels: 1 },
  { version: '11.1', channels: 4 },
  { version: '10.0', channels: 4 },
  { version: '7.2', channels: 4 },
];
const cases = VERSIONS.flatMap((peer) => rows.map((row) => ({ ...row, ...peer })));

const available = QEMU_VERSIONS.every((version) => qemuAvailable(version));

describe.skipIf(!available)('TLS with a real QEMU', () => {
  let credentials: string;
  let folder: string;
  const running: Qemu[] = [];
  const images = new Map<QemuVersion, Promise<string>>();

  beforeAll(async () => {
    credentials = await mkdtemp(join(tmpdir(), 'multifd-test-'));
    const authority = await Authority.create();
    await x509Folder(
      credentials,
      'server',
      authority,
      'server',
      await authority.issue('server', { ip: ['127.0.0.1'] }),
    );
    await x509Folder(
      credentials,
      'server-named',
      authority,
      'server',
      await authority.issue('server', { dns: ['target.example.com'] }),
    );
    await x509Folder(
      credentials,
      'client',
      authority,
      'client',
      await authority.issue('client', { name: CLIENT_NAME }),
    );
    await x509Folder(credentials, 'anonymous', authority, 'client');
    await pskFolder(credentials, 'psk', { qemu: KEY });
    await pskFolder(credentials, 'psk-other', { qemu: OTHER_KEY });
  });
  afterAll(() => rm(credentials, { recursive: true }));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
  });
  afterEach(async () => {
    for (const qemu of running.splice(0)) await qemu.stop();
    await rm(folder, { recursive: true });
  });

  /** A QEMU with credentials, and the same settings at either end. */
  async function start(
    ram: string,
    end: 'client' | 'server',
    row: (typeof cases)[number],
  ): Promise<Qemu> {
    const name = end === 'client' ? row.source : row.target;
    const dir = join(credentials, name);
    const verifyPeer = end === 'server' && row.verifyPeer === false ? 'off' : 'on';
    const object = name.startsWith('psk')
      ? `tls-creds-psk,id=tls0,endpoint=${end},dir=${dir}`
      : `tls-creds-x509,id=tls0,endpoint=${end},dir=${dir},verify-peer=${verifyPeer}`;
    const priority = row.old ? ',priority=NORMAL:-VERS-TLS1.3' : '';
    const args = [
      '-object',
      `memory-backend-file,id=ram,size=${MEMORY}M,share=on,mem-path=${ram}`,
      '-object',
      `${object}${priority}`,
    ];
    // A comma in a value of QEMU's options is written twice.
    if (end === 'server' && row.authz !== undefined)
      args.push('-object', `authz-simple,id=auth0,identity=${row.authz.replaceAll(',', ',,')}`);
    if (end === 'server') args.push('-incoming', 'defer');
    const qemu = await Qemu.start({
      version: row.version,
      machine: 'pc,memory-backend=ram',
      memory: MEMORY,
      args,
    });
    running.push(qemu);
    await qemu.capabilities('multifd', ...(row.blind ? [] : ['return-path']));
    await qemu.command('migrate-set-parameters', {
      'multifd-channels': row.channels,
      'max-bandwidth': 0,
      'tls-creds': 'tls0',
      ...(end === 'client' && row.hostname !== undefined && { 'tls-hostname': row.hostname }),
      ...(end === 'server' && row.authz !== undefined && { 'tls-authz': 'auth0' }),
    });
    return qemu;
  }

  test.for(cases)(
    '$row, QEMU to receive, QEMU $version, $channels channels',
    async (row, context) => {
      await entry(
        context,
        { row: `TLS, ${row.row}`, how: howOf(row), direction: 'capture', version: row.version },
        async () => {
          const { channels, refused, told, verifyPeer, authz } = row;
          const ram = join(folder, 'source.ram');
          const content = guestMemory();
          writeFileSync(ram, content);
          const image = join(folder, 'vm.img');
          const rejected: string[] = [];
          const abort = new AbortController();
          const tls: IncomingTls = {
            credsDir: join(credentials, row.target),
            ...(verifyPeer === false && { verifyPeer }),
            ...(authz !== undefined && { authz: [authz] }),
          };
          const incoming = await receive({
            uri: 'tcp:127.0.0.1:0',
            image,
            channels,
            tls,
            timeout: TIMEOUT,
            signal: abort.signal,
            onRejected: (why) => rejected.push(why),
          });
          const source = await start(ram, 'client', row);
          await source.command('migrate', { uri: incoming.uri });
          if (refused === undefined) {
            // A source that asks for no word from the target may be gone as soon as it has sent
            // everything.
            if (row.blind) expect(await source.migrationEnd()).toBe('completed');
            if (row.blind) await source.stop();
            await incoming.completed;
            if (!row.blind) expect(await source.migrationEnd()).toBe('completed');
            expect(rejected).toEqual([]);
            await extractBlock(image, 'ram', join(folder, 'extracted'));
            expect(readFileSync(join(folder, 'extracted')).equals(content)).toBe(true);
            if (row.version !== '7.2') expect(source.stderr).toBe('');
          } else {
            expect(await source.migrationEnd()).toBe('failed');
            abort.abort();
            await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
            if (told !== undefined) {
              // With TLS 1.3 a source learns of it only after its handshake, when it may have
              // opened its channels too.
              expect(rejected.length).toBeGreaterThan(0);
              for (const why of rejected) expect(why).toMatch(told);
            }
            expect(await source.command('query-status')).toMatchObject({ status: 'prelaunch' });
          }
        },
      );
    },
  );

  test.for(cases)('$row, send to QEMU, QEMU $version, $channels channels', async (row, context) => {
    await entry(
      context,
      { row: `TLS, ${row.row}`, how: howOf(row), direction: 'replay', version: row.version },
      async () => {
        const { channels, refused, hostname } = row;
        const content = guestMemory();
        const image = await saved(content, row.version);
        const ram = join(folder, 'target.ram');
        const target = await start(ram, 'server', row);
        await target.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
        const tls: OutgoingTls = {
          credsDir: join(credentials, row.source),
          ...(hostname !== undefined && { hostname }),
        };
        const sent = send({
          uri: await addressOf(target),
          image,
          channels,
          tls,
          timeout: TIMEOUT,
          returnPath: !row.blind,
        });
        if (refused === undefined) {
          await sent;
          expect(await target.migrationEnd()).toBe('completed');
          expect(readFileSync(ram).equals(content)).toBe(true);
          if (row.version !== '7.2') expect(target.stderr).toBe('');
        } else {
          const error = await sent.catch((thrown: unknown) => thrown);
          expect(error).toMatchObject({
            code: refused instanceof RegExp ? expect.stringMatching(refused) : refused,
          });
        }
      },
    );
  });

  /** An image of a VM with this memory that a QEMU of this version can load. */
  function saved(content: Buffer, version: QemuVersion): Promise<string> {
    const image = images.get(version) ?? save(content, version);
    images.set(version, image);
    return image;
  }

  /** It is saved by one without TLS. */
  async function save(content: Buffer, version: QemuVersion): Promise<string> {
    const image = join(credentials, `${version}.img`);
    const ram = join(credentials, `${version}.ram`);
    writeFileSync(ram, content);
    // 7.2 saves no images itself.
    const [machine, saver] =
      version === '7.2' ? (['pc-i440fx-7.2', '10.0'] as const) : (['pc', version] as const);
    const qemu = await Qemu.start({
      version: saver,
      machine: `${machine},memory-backend=ram`,
      memory: MEMORY,
      args: ['-object', `memory-backend-file,id=ram,size=${MEMORY}M,share=on,mem-path=${ram}`],
    });
    running.push(qemu);
    await qemu.capabilities('multifd', 'mapped-ram');
    await qemu.command('migrate', { uri: `file:${image}` });
    expect(await qemu.migrationEnd()).toBe('completed');
    return image;
  }
});

/** Where a QEMU listens that was told to take any free port. */
async function addressOf(qemu: Qemu): Promise<string> {
  const { 'socket-address': addresses } = (await qemu.command('query-migrate')) as {
    'socket-address': { host: string; port: string }[];
  };
  return `tcp:${addresses[0]!.host}:${addresses[0]!.port}`;
}

/** Every third page is zero; the others are filled with what tells them apart. */
function guestMemory(): Buffer {
  const bytes = Buffer.alloc(MEMORY * MIB);
  for (let page = 0; page < bytes.length / 4096; page++) {
    if (page % 3 !== 0) bytes.fill(`page ${page} `, page * 4096, (page + 1) * 4096);
  }
  return bytes;
}

function howOf({ refused, hostname, authz, verifyPeer }: Row): string {
  const settings = [
    hostname && `\`tls-hostname\` ${hostname}`,
    authz && `\`tls-authz\` ${authz}`,
    verifyPeer === false && '`verify-peer` off',
  ];
  return [...settings.filter(Boolean), refused && 'refused'].filter(Boolean).join('; ');
}
