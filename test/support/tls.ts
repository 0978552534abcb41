import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type IncomingOptions,
  type IncomingTls,
  MultifdError,
  type OutgoingOptions,
  type OutgoingTls,
  receive,
  send,
} from 'multifd';
import { expect } from 'vitest';
import { withFolder } from './migration.ts';
import { randomBytes } from './random.ts';
import { Authority, folderOf, KEY, OTHER_KEY, pskFolder, x509Folder } from './authority.ts';

export const CLIENT_NAME = 'C=GB,O=Example\\, Inc,CN=client';

/** Folders with credentials, by name. */
export class Credentials {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(): Promise<Credentials> {
    const folder = await mkdtemp(join(tmpdir(), 'multifd-tls-'));
    const [ours, others] = await Promise.all([
      Authority.create(),
      Authority.create('CN=Another authority'),
    ]);
    const server = await ours.issue('server', { ip: ['127.0.0.1', '::1'] });
    const client = await ours.issue('client', {
      name: CLIENT_NAME.replaceAll(',', ', ').replace('\\, ', '\\,'),
    });
    await x509Folder(folder, 'server', ours, 'server', server);
    await x509Folder(
      folder,
      'server-named',
      ours,
      'server',
      await ours.issue('server', { dns: ['target.example.com'] }),
    );
    await x509Folder(
      folder,
      'server-other',
      others,
      'server',
      await others.issue('server', { ip: ['127.0.0.1'] }),
    );
    await x509Folder(
      folder,
      'server-expired',
      ours,
      'server',
      await ours.issue('server', { ip: ['127.0.0.1'], from: -3, until: -1 }),
    );
    await x509Folder(folder, 'client', ours, 'client', client);
    await x509Folder(folder, 'client-stray', ours, 'client', await others.issue('client'));
    await x509Folder(
      folder,
      'client-expired',
      ours,
      'client',
      await ours.issue('client', { from: -3, until: -1 }),
    );
    await x509Folder(folder, 'anonymous', ours, 'client');
    const crl = await ours.revoke(client);
    await folderOf(folder, 'server-crl', {
      'ca-cert.pem': ours.pem,
      'server-cert.pem': server.cert,
      'server-key.pem': server.key,
      'ca-crl.pem': crl,
    });
    await pskFolder(folder, 'psk', { qemu: KEY, alice: OTHER_KEY });
    await pskFolder(folder, 'psk-other', { qemu: OTHER_KEY, mallory: KEY });
    return new Credentials(folder);
  }

  of(name: string): string {
    return join(this.#folder, name);
  }

  remove(): Promise<void> {
    return rm(this.#folder, { recursive: true });
  }
}

export interface Ends {
  source: MultifdError | undefined;
  target: MultifdError | undefined;
  rejected: string[];
}

export interface Case {
  source: OutgoingTls | undefined;
  target: IncomingTls | undefined;
  socket?: 'tcp' | 'unix';
  /** Of both ends. */
  common?: Pick<OutgoingOptions, 'channels' | 'compression' | 'inline' | 'timeout'>;
  returnPath?: boolean;
  /** Bytes to move. */
  length?: number;
}

/**
 * Moves a block between two ends of this process, and checks it. Listening is given up when the
 * source has failed, as a user would do it.
 */
export function migrate({
  source,
  target,
  socket = 'tcp',
  common = {},
  returnPath = true,
  length = 1 << 20,
}: Case): Promise<Ends> {
  return withFolder(async (folder) => {
    const shared = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(length));
    const [from, to] = [shared(), shared()];
    from.set(randomBytes('tls', length / 2), length / 4);
    const rejected: string[] = [];
    const abort = new AbortController();
    let starts = 0;
    const listening: IncomingOptions = {
      uri: socket === 'tcp' ? 'tcp:127.0.0.1:0' : `unix:${folder}/socket`,
      blocks: { ram: to },
      signal: abort.signal,
      start: () => void starts++,
      onRejected: (why) => rejected.push(why),
      ...common,
      ...(target && { tls: target }),
    };
    const incoming = await receive(listening);
    const failed = await ended(
      send({
        uri: incoming.uri,
        blocks: [{ id: 'ram', source: from }],
        returnPath,
        ...common,
        ...(source && { tls: source }),
      }),
    );
    if (failed !== undefined) abort.abort();
    const refused = await ended(incoming.completed);
    expect(starts).toBe(refused === undefined ? 1 : 0);
    if (failed === undefined && refused === undefined) expect(Buffer.compare(from, to)).toBe(0);
    return { source: failed, target: refused, rejected };
  });
}

async function ended(end: Promise<unknown>): Promise<MultifdError | undefined> {
  const thrown = await end.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown !== undefined) expect(thrown).toBeInstanceOf(MultifdError);
  return thrown as MultifdError | undefined;
}
