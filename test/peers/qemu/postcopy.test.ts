import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type OutgoingOptions, receive, send } from 'multifd';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { CuttingRelay } from '../../support/cutting-relay.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import { errorOf } from '../../support/migration.ts';
import { QEMU_VERSIONS, qemuAvailable, type QemuVersion } from '../../support/qemu.ts';
import { Random, SEED } from '../../support/random.ts';
import { rangeServer } from '../../support/range-server.ts';
import { placeForQemu } from '../../support/temporary.ts';
import { Machine } from './machine.ts';
import { testFolder } from './support.ts';

/**
 * Images of a live guest are sent to QEMUs without multifd and by postcopy; the guest goes on, and
 * its memory is of one moment. RAM that userfaultfd can have is no file.
 */

const random = new Random(SEED);
const folders: string[] = [];
const images = new Map<QemuVersion, Promise<string>>();

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

/** An image of the guest, captured once. */
function imageOf(version: QemuVersion): Promise<string> {
  const known = images.get(version) ?? capture(version);
  images.set(version, known);
  return known;
}

async function capture(version: QemuVersion): Promise<string> {
  const folder = await mkdtemp(join(placeForQemu(), 'multifd-test-'));
  folders.push(folder);
  const image = join(folder, 'vm.img');
  const source = await Machine.running(folder, 'source', { version, anonymous: true });
  await source.set(['multifd', 'return-path'], { 'downtime-limit': 60_000 });
  const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image });
  await source.qemu.command('migrate', { uri: incoming.uri });
  await incoming.completed;
  await source.qemu.stop();
  return image;
}

async function targetOf(
  version: QemuVersion,
  capabilities: readonly string[],
): Promise<{ target: Machine; uri: string }> {
  const folder = await testFolder();
  const target = await Machine.incoming(folder, 'target', { version, anonymous: true });
  await target.set(['return-path', ...capabilities], {});
  await target.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
  return { target, uri: listeningUri(await target.qemu.command('query-migrate')) };
}

interface Way {
  name: string;
  capabilities: readonly string[];
  options: Partial<OutgoingOptions>;
  versions?: readonly QemuVersion[];
}

const POSTCOPY = ['postcopy-ram'];
const PREEMPT = [...POSTCOPY, 'postcopy-preempt'];

const WAYS: readonly Way[] = [
  { name: 'without multifd', capabilities: [], options: { multifd: false } },
  { name: 'by postcopy', capabilities: POSTCOPY, options: { postcopy: true } },
  {
    name: 'by postcopy with a connection for what is asked for',
    capabilities: PREEMPT,
    options: { postcopy: true, postcopyPreempt: true },
  },
  {
    name: 'by postcopy after a round',
    capabilities: POSTCOPY,
    options: { postcopy: true, postcopyAfter: 1 },
  },
  {
    name: 'by postcopy with little bandwidth for what is not asked for',
    capabilities: POSTCOPY,
    options: { postcopy: true, maxBandwidth: 16e6 },
  },
  {
    name: 'by postcopy with multifd on',
    capabilities: [...POSTCOPY, 'multifd'],
    options: { postcopy: true, channels: 2 },
    versions: ['11.1'],
  },
  {
    name: 'by postcopy with multifd, after a round of it, and preempt',
    capabilities: [...PREEMPT, 'multifd'],
    options: { postcopy: true, postcopyPreempt: true, postcopyAfter: 1, channels: 2 },
    versions: ['11.1'],
  },
];

describe.for(QEMU_VERSIONS)('QEMU %s', (version) => {
  describe.skipIf(!qemuAvailable(version))(`an image, seed ${SEED}`, () => {
    const ways = WAYS.filter(({ versions }) => versions?.includes(version) ?? true);

    test.for(ways)('$name', { timeout: 60_000 }, async ({ capabilities, options }) => {
      const image = await imageOf(version);
      const { target, uri } = await targetOf(version, capabilities);
      const sent = await send({ uri, image, ...options });
      expect(sent.ram.remaining).toBe(0);
      expect(sent.confirmed).toBe(true);
      expect(await target.qemu.migrationEnd()).toBe('completed');
      await target.expectAlive();
    });

    test('by postcopy over HTTP ranges', { timeout: 60_000 }, async () => {
      const { url } = await rangeServer(await readFile(await imageOf(version)));
      const { target, uri } = await targetOf(version, POSTCOPY);
      await send({ uri, image: url, postcopy: true });
      expect(await target.qemu.migrationEnd()).toBe('completed');
      await target.expectAlive();
    });

    test('by postcopy from a Blob', { timeout: 60_000 }, async () => {
      const image = new Blob([await readFile(await imageOf(version))]);
      const { target, uri } = await targetOf(version, POSTCOPY);
      await send({ uri, image, postcopy: true });
      expect(await target.qemu.migrationEnd()).toBe('completed');
      await target.expectAlive();
    });

    test('a target that may not do postcopy says so', { timeout: 60_000 }, async () => {
      const image = await imageOf(version);
      const { uri } = await targetOf(version, []);
      const error = await errorOf(send({ uri, image, postcopy: true }));
      expect(error.message).toContain('postcopy-ram on');
    });

    test.for([POSTCOPY, PREEMPT])('cut off and resumed, %o', { timeout: 60_000 }, (capabilities) =>
      resume(version, capabilities),
    );
  });
});

/** A postcopy that is cut off twice, somewhere, and resumed each time. */
async function resume(version: QemuVersion, capabilities: readonly string[]): Promise<void> {
  const image = await imageOf(version);
  const options = { image, postcopyPreempt: capabilities.includes('postcopy-preempt') };
  let { target, uri } = await targetOf(version, capabilities);
  for (const how of [{ postcopy: true }, { resume: true }]) {
    // Behind the devices, and before the end.
    const relay = await CuttingRelay.open(uri, 1 + random.below(5_000_000));
    onTestFinished(() => relay.close());
    const error = await errorOf(send({ uri: relay.uri, ...options, ...how, maxBandwidth: 100e6 }));
    expect(error.message).toContain('--resume');
    relay.close();
    await target.qemu.migrationStatus('postcopy-paused');
    target.qemu.forgetEvents();
    await target.qemu.command('migrate-recover', { uri: 'tcp:127.0.0.1:0' });
    uri = listeningUri(await target.qemu.command('query-migrate'));
  }
  const sent = await send({ uri, ...options, resume: true });
  expect(sent.confirmed).toBe(true);
  expect(await target.qemu.migrationEnd()).toBe('completed');
  await target.expectAlive();
}
