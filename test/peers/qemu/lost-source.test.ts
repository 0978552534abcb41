import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { extractBlock, receive } from 'multifd';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CuttingRelay } from '../../support/cutting-relay.ts';
import { QEMU_VERSIONS, qemuAvailable } from '../../support/qemu.ts';
import { Random, SEED } from '../../support/random.ts';
import { Machine } from './machine.ts';
import { entry } from './table.ts';
import { testFolder } from './support.ts';

/**
 * A QEMU in postcopy loses its connections somewhere, and comes back by `migrate` with `resume`. The
 * image is what the source's RAM was, and QEMU loads it and goes on.
 */

const random = new Random(SEED);

const WAYS = [
  { name: '', capabilities: ['multifd'], versions: ['11.1', '10.0'] },
  { name: ', without multifd', capabilities: [], versions: QEMU_VERSIONS },
  {
    name: ', postcopy-preempt without multifd',
    capabilities: ['postcopy-preempt'],
    versions: QEMU_VERSIONS,
  },
];

describe.for(QEMU_VERSIONS)('QEMU %s', (version) => {
  describe.skipIf(!qemuAvailable(version))(`a lost source, seed ${SEED}`, () => {
    const ways = WAYS.filter(({ versions }) => versions.includes(version));
    test.for(ways)('comes back$name', { timeout: 60_000 }, async (way, context) => {
      const row = `postcopy, lost and resumed${way.name}`;
      const how = 'all connections cut while pages are missing, then `migrate -r`';
      const loader = version === '7.2' ? '10.0' : version;
      const cell = { row, how, direction: 'capture' as const, version, loader };
      await entry(context, cell, async () => {
        const folder = await testFolder();
        const source = await Machine.running(folder, 'source', { version });
        await source.set(['return-path', 'postcopy-ram', ...way.capabilities], {
          'max-bandwidth': 100e6,
          'downtime-limit': 1,
          'max-postcopy-bandwidth': 20e6,
        });
        const image = join(folder, 'vm.img');
        const paused: string[] = [];
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          image,
          onPaused: (why) => void paused.push(why),
        });
        // Early: a source that has sent everything when it is cut off has nothing to resume.
        const relay = await CuttingRelay.open(incoming.uri, 1 + random.below(1_000_000));
        onTestFinished(() => relay.close());
        await source.qemu.command('migrate', { uri: relay.uri });
        await source.postcopyAt(2);
        await source.qemu.migrationStatus('postcopy-paused');
        relay.close();
        await source.qemu.command('migrate', { uri: incoming.uri, resume: true });
        await incoming.completed;
        expect(paused).toHaveLength(1);
        expect(await source.qemu.migrationEnd()).toBe('completed');
        await source.expectWhole();
        const extracted = join(folder, 'extracted');
        await extractBlock(image, 'ram', extracted);
        execFileSync('cmp', [extracted, source.ram]);
        await source.qemu.stop();

        const machine = version === '7.2' ? 'pc-i440fx-7.2' : 'pc';
        const loaded = await Machine.incoming(folder, 'loaded', { version: loader, machine });
        await loaded.set(['multifd', 'mapped-ram'], {});
        await loaded.qemu.command('migrate-incoming', { uri: `file:${image}` });
        expect(await loaded.qemu.migrationEnd()).toBe('completed');
        await loaded.expectAlive();
      });
    });
  });
});
