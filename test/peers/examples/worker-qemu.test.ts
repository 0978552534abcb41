import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectImage, send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { Machine } from '../qemu/machine.ts';
import { testFolder } from '../qemu/support.ts';
import { qemuAvailable } from '../../support/qemu.ts';
import { startWorker } from './workerd.ts';

const token = 'a.test-token';
const marks = [28 << 20];

describe.skipIf(!qemuAvailable())('a real QEMU', () => {
  test('what it saved goes on in another one, loaded from the worker by range requests', async () => {
    const folder = await testFolder();
    const image = join(folder, 'image');
    const source = await Machine.running(folder, 'source', { version: '10.0', marks });
    await source.set(['multifd', 'mapped-ram'], {});
    await source.qemu.command('migrate', { uri: `file:${image}` });
    await source.convergeAt(2);
    expect(await source.qemu.migrationEnd()).toBe('completed');

    const storage = join(folder, 'storage');
    await mkdir(storage);
    const worker = await startWorker(storage, { MULTIFD_TOKEN: token });
    await send({ uri: `ws://${worker.host}/multifd`, image, token });
    const url = `http://${worker.host}/image`;
    const [saved, held] = [await inspectImage(image), await inspectImage(url, { token })];
    expect({ machine: held.machine, sections: held.sections }).toEqual({
      machine: saved.machine,
      sections: saved.sections,
    });
    // QEMU's own images have pages that have become zero since they were written; here they are not
    // stored.
    expect(held.totals.present).toBeLessThanOrEqual(saved.totals.present);

    const target = await Machine.incoming(folder, 'target', { version: '10.0' });
    await target.set(['multifd'], { 'multifd-channels': 2 });
    const uri = `unix:${join(folder, 'target-socket')}`;
    await target.qemu.command('migrate-incoming', { uri });
    await send({ uri, image: url, imageToken: token });
    expect(await target.qemu.migrationEnd()).toBe('completed');
    await target.expectAlive(marks);
  });
});
