import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Machine } from '../qemu/machine.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import { testFolder } from '../qemu/support.ts';
import { run, start, startReceiver } from '../../support/command.ts';
import { qemuAvailable } from '../../support/qemu.ts';

const VERSION = '10.0';
const MEMORY = 128;
const CAPABILITIES = ['multifd', 'return-path'];
const PARAMETERS = { 'multifd-channels': 2 };

interface Listening {
  uri: string;
  to: string;
}

/** A proxy in a process of its own. */
async function between(
  from: string,
  to: string,
  ...options: readonly string[]
): Promise<Listening> {
  return (await start('proxy', from, to, '--json', ...options).event(
    'listening',
  )) as unknown as Listening;
}

describe.skipIf(!qemuAvailable(VERSION))('a real QEMU, through a proxy', () => {
  test.each([false, true])(
    'migrates to a target of WebSockets, and is loaded from there; rendezvous: %s',
    async (rendezvous) => {
      const folder = await testFolder();
      const image = join(folder, 'vm.img');
      const source = await Machine.running(folder, 'source', { version: VERSION, memory: MEMORY });
      await source.set(CAPABILITIES, PARAMETERS);

      let proxy: Listening;
      let captured: Promise<{ status: number | null }>;
      if (rendezvous) {
        proxy = await between('tcp:127.0.0.1:0', 'ws://127.0.0.1:0/', '--rendezvous');
        captured = run('receive', proxy.to, image, '--connect');
      } else {
        const { receiver, uri } = await startReceiver('ws://127.0.0.1:0/', image);
        captured = receiver.ended;
        proxy = await between('tcp:127.0.0.1:0', uri);
      }
      await source.qemu.command('stop');
      await source.qemu.command('migrate', { uri: proxy.uri });
      expect(await source.qemu.migrationEnd()).toBe('completed');
      expect((await captured).status).toBe(0);
      const memory = readFileSync(source.ram);
      await source.qemu.stop();

      const target = await Machine.incoming(folder, 'target', { version: VERSION, memory: MEMORY });
      await target.set(CAPABILITIES, PARAMETERS);
      await target.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
      const back = await between(
        'ws://127.0.0.1:0/',
        listeningUri(await target.qemu.command('query-migrate')),
      );
      expect((await run('send', image, back.uri)).status).toBe(0);
      expect(await target.qemu.migrationEnd()).toBe('completed');
      expect(readFileSync(target.ram).equals(memory)).toBe(true);
      await target.qemu.command('cont');
      await target.expectAlive();
    },
  );
});
