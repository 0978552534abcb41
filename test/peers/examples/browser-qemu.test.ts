import { proxy } from 'multifd';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Machine, type MachineOptions } from '../qemu/machine.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import { testFolder } from '../qemu/support.ts';
import {
  chromiumAvailable,
  connect,
  devicesOf,
  ended,
  LIMIT,
  screenshot,
  serve,
  useChromium,
} from './page.ts';
import { qemuAvailable } from '../../support/qemu.ts';

const USUAL: MachineOptions = { version: '10.0' };

const openPage = useChromium();

describe.skipIf(!chromiumAvailable() || !qemuAvailable())('a QEMU', { timeout: LIMIT }, () => {
  test.each([[[]], [['--no-isolation']]])(
    'migrates into the page while its guest runs, and out of it into another QEMU, where the ' +
      'guest goes on (%j)',
    async (args) => {
      const folder = await testFolder();
      const source = await Machine.running(folder, 'source', USUAL);
      await source.set(['multifd', 'return-path'], {
        'multifd-channels': 2,
        'max-bandwidth': 1e12,
        'downtime-limit': 2_000,
      });
      const url = await serve(...args);
      const origins = [new URL(url).origin];
      const both = { from: 'tcp:127.0.0.1:0', to: 'ws://127.0.0.1:0/', rendezvous: true };
      const into = await proxy({ ...both, toOrigins: origins });
      onTestFinished(() => into.close());
      const page = await openPage(url);
      await connect(page, 'receive', into.toUri, 2);
      await source.qemu.command('migrate', { uri: into.uri });
      expect(await ended(page)).toMatch(/^Received 3\d\.\d MiB in /);
      expect(await source.qemu.migrationEnd()).toBe('completed');
      await source.qemu.stop();
      expect(await devicesOf(page)).toEqual(
        expect.arrayContaining(['cpu#0', 'apic#0', 'serial#0']),
      );
      expect(await page.locator('#blocks button').allTextContents()).toContain('ram');
      await screenshot(page, `qemu${args.join(' ')}`);

      const target = await Machine.incoming(folder, 'target', USUAL);
      await target.set(['multifd', 'return-path'], { 'multifd-channels': 2 });
      await target.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
      const to = listeningUri(await target.qemu.command('query-migrate'));
      const outOf = await proxy({ from: 'ws://127.0.0.1:0/', to, origins });
      onTestFinished(() => outOf.close());
      await connect(page, 'send', outOf.uri, 2);
      expect(await ended(page)).toMatch(/^3\d\.\d MiB in .* sent to ws:/);
      expect(await target.qemu.migrationEnd()).toBe('completed');
      await target.expectAlive();
    },
  );
});
