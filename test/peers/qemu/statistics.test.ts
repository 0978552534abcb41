import { join } from 'node:path';
import { receive } from 'multifd';
import { describe, expect, test } from 'vitest';
import { qemuAvailable } from '../../support/qemu.ts';
import { Machine } from './machine.ts';
import { testFolder } from './support.ts';

/** What a migration says of itself has QEMU's names, and means what QEMU means by them. */

const VERSION = '11.1';

interface Theirs {
  ram: Record<string, number>;
}

describe.skipIf(!qemuAvailable(VERSION))('the statistics of a migration', () => {
  test('are those of the QEMU at the other end, with postcopy', async () => {
    const folder = await testFolder();
    const source = await Machine.running(folder, 'source', { version: VERSION });
    await source.set(['multifd', 'return-path', 'postcopy-ram'], {
      'multifd-channels': 2,
      'max-bandwidth': 100e6,
      'downtime-limit': 1,
    });
    const incoming = await receive({
      uri: `unix:${join(folder, 'incoming')}`,
      image: join(folder, 'vm.img'),
    });
    await source.qemu.command('migrate', { uri: incoming.uri });
    await source.qemu.pass(2);
    await source.qemu.command('migrate-start-postcopy');
    const { ram } = await incoming.completed;
    expect(await source.qemu.migrationEnd()).toBe('completed');

    const theirs = ((await source.qemu.command('query-migrate')) as Theirs).ram;
    for (const name of ['total', 'remaining', 'page-size', 'normal'] as const)
      expect({ [name]: ram[name] }).toEqual({ [name]: theirs[name] });
    expect(ram['multifd-bytes']).toBe(theirs['multifd-bytes']);
    // What has been read ahead at the switch is counted before it.
    const difference = theirs['postcopy-bytes']! - ram['postcopy-bytes'];
    expect(Math.abs(difference)).toBeLessThan(256 * 1024);
    expect(theirs['postcopy-bytes']).toBeGreaterThan(2 ** 20);
    expect(ram.transferred).toBe(
      ram['precopy-bytes'] + ram['postcopy-bytes'] + ram['multifd-bytes'],
    );
  });
});
