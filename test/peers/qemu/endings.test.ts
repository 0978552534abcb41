import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { receive, send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { Running } from '../../support/command.ts';
import { QEMU_VERSIONS, qemuAvailable } from '../../support/qemu.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import { testFolder } from './support.ts';
import { entry } from './table.ts';

/** Uuids, and migrations that come to no good end. */

const UUID = '6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69';
const OTHER = '0b1e5c0a-1c2d-4e3f-8a9b-0c1d2e3f4a5b';

describe.for(QEMU_VERSIONS)('QEMU %s', (version) => {
  const usual: MachineOptions = { version };

  describe.skipIf(!qemuAvailable(version))('live guest', () => {
    /** Slow enough to be interrupted, for as long as it is let. */
    async function slowSource(folder: string): Promise<Machine> {
      const source = await Machine.running(folder, 'source', usual);
      await source.set(['multifd', 'return-path'], {
        'multifd-channels': 2,
        'max-bandwidth': 100e6,
        'downtime-limit': 1,
      });
      return source;
    }

    async function target(
      folder: string,
      args: readonly string[] = [],
    ): Promise<[Machine, string]> {
      const machine = await Machine.incoming(folder, 'target', { ...usual, args });
      await machine.set(['multifd', 'return-path'], { 'multifd-channels': 2 });
      await machine.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
      return [machine, listeningUri(await machine.qemu.command('query-migrate'))];
    }

    async function image(
      folder: string,
      args: readonly string[] = [],
      uuid?: string,
    ): Promise<string> {
      const path = join(folder, 'vm.img');
      const source = await Machine.running(folder, 'source', { ...usual, args });
      await source.set(['multifd', 'return-path'], {
        'multifd-channels': 2,
        'max-bandwidth': 1e12,
        'downtime-limit': 60_000,
      });
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        image: path,
        ...(uuid !== undefined && { uuid }),
      });
      await source.qemu.command('migrate', { uri: incoming.uri });
      await incoming.completed;
      expect(await source.qemu.migrationEnd()).toBe('completed');
      await source.qemu.stop();
      return path;
    }

    test.each([
      {
        what: 'fewer channels',
        capabilities: ['multifd'],
        channels: 1,
        code: 'ERR_CHANNEL_COUNT',
        why: /^1 of 2 .*first sync on the main channel.*multifd-channels 2/,
      },
      {
        what: 'more channels',
        capabilities: ['multifd'],
        channels: 4,
        code: 'ERR_CHANNEL_ID',
        why: /beyond the number of channels.*set the same number at both ends/,
      },
    ])(
      'a source with $what is told what to set, before any time-out, and goes on',
      async ({ capabilities, channels, code, why }) => {
        const folder = await testFolder();
        const source = await Machine.running(folder, 'source', usual);
        await source.set([...capabilities, 'return-path'], {
          'multifd-channels': channels,
          'max-bandwidth': 100e6,
        });
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          image: join(folder, 'vm.img'),
          timeout: 600_000,
        });
        await source.qemu.command('migrate', { uri: incoming.uri });
        await expect(incoming.completed).rejects.toMatchObject({
          code,
          message: expect.stringMatching(why),
        });
        expect(await source.qemu.migrationEnd()).toBe('failed');
        await source.expectAlive();
        await source.qemu.stop();
      },
    );

    test('a target with multifd off: the source names what to set there', async () => {
      const folder = await testFolder();
      const path = await image(folder);
      const machine = await Machine.incoming(folder, 'target', usual);
      await machine.set(['return-path'], {});
      await machine.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
      const uri = listeningUri(await machine.qemu.command('query-migrate'));
      await expect(send({ uri, image: path, timeout: 600_000 })).rejects.toMatchObject({
        code: expect.stringMatching(/ERR_PEER_CLOSED|ERR_CONNECT/),
        message: expect.stringMatching(/multifd on there/),
      });
      await machine.qemu.stop();
    });

    test('uuids', async (context) => {
      const folder = await testFolder();
      const facts = { direction: 'capture', version } as const;
      const path = await entry(
        context,
        { ...facts, row: 'uuid, the same', how: '`-uuid` at QEMU, `--uuid` here' },
        () => image(folder, ['-uuid', UUID], UUID),
      );
      await entry(
        context,
        {
          ...facts,
          row: 'uuid, the same',
          how: '`-uuid` at QEMU, `--uuid` here',
          direction: 'replay',
        },
        async () => {
          const [machine, uri] = await target(folder, ['-uuid', UUID]);
          await send({ uri, image: path!, uuid: UUID });
          expect(await machine.qemu.migrationEnd()).toBe('completed');
          await machine.expectAlive();
          await machine.qemu.stop();
        },
      );
      for (const [row, theirs, ours] of [
        ['uuid, another one', ['-uuid', OTHER], UUID],
        ['uuid, none here', ['-uuid', OTHER], undefined],
        ['uuid, none at QEMU', [], UUID],
      ] as const) {
        await entry(context, { ...facts, row, how: 'refused' }, async () => {
          const source = await Machine.running(folder, 'refused', { ...usual, args: theirs });
          await source.set(['multifd', 'return-path'], {
            'multifd-channels': 2,
            'max-bandwidth': 100e6,
          });
          const incoming = await receive({
            uri: 'tcp:127.0.0.1:0',
            image: join(folder, 'refused.img'),
            ...(ours !== undefined && { uuid: ours }),
          });
          await source.qemu.command('migrate', { uri: incoming.uri });
          await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_UUID' });
          expect(await source.qemu.migrationEnd()).toBe('failed');
          await source.expectAlive();
          await source.qemu.stop();
          expect(existsSync(join(folder, 'refused.img'))).toBe(false);
        });
        await entry(context, { ...facts, row, how: 'refused', direction: 'replay' }, async () => {
          const [machine, uri] = await target(folder, theirs);
          await expect(
            send({ uri, image: path!, ...(ours !== undefined && { uuid: ours }) }),
          ).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
          // 7.2 says so, and goes on waiting.
          if (version === '7.2') expect(machine.qemu.stderr).toContain('expected uuid');
          else expect(await machine.qemu.migrationEnd()).toBe('failed');
          await machine.qemu.stop();
        });
      }
    });

    test('cancelled at this end', async (context) => {
      const folder = await testFolder();
      const cell = {
        row: 'cancelled here, mid-round',
        how: '`AbortSignal`; a QEMU source goes on running',
        version,
      };
      await entry(context, { ...cell, direction: 'capture' }, async () => {
        const source = await slowSource(folder);
        const cancel = new AbortController();
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          image: join(folder, 'cancelled.img'),
          signal: cancel.signal,
        });
        await source.qemu.command('migrate', { uri: incoming.uri });
        await source.qemu.pass(2);
        cancel.abort();
        await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
        expect(await source.qemu.migrationEnd()).toBe('failed');
        await source.expectAlive();
        await source.qemu.stop();
        expect(existsSync(join(folder, 'cancelled.img'))).toBe(false);
      });
      await entry(context, { ...cell, direction: 'replay' }, async () => {
        const path = await image(folder);
        const [machine, uri] = await target(folder);
        const cancel = new AbortController();
        const sending = send({
          uri,
          image: path,
          signal: cancel.signal,
          maxBandwidth: 20e6,
          onProgress: ({ ram }) => ram.transferred > 1e6 && cancel.abort(),
        });
        await expect(sending).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
        expect(await machine.qemu.migrationEnd()).toBe('failed');
      });
    });

    test('cancelled at QEMU', async (context) => {
      const folder = await testFolder();
      await entry(
        context,
        {
          row: 'cancelled at QEMU, mid-round',
          how: '`migrate_cancel`; it goes on running',
          version,
          direction: 'capture',
        },
        async () => {
          const source = await slowSource(folder);
          const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image: join(folder, 'vm.img') });
          await source.qemu.command('migrate', { uri: incoming.uri });
          await source.qemu.pass(2);
          await source.qemu.command('migrate_cancel');
          await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
          expect(await source.qemu.migrationEnd()).toBe('cancelled');
          await source.expectAlive();
          expect(existsSync(join(folder, 'vm.img'))).toBe(false);

          // And it can still be migrated.
          const again = await receive({ uri: 'tcp:127.0.0.1:0', image: join(folder, 'vm.img') });
          await source.qemu.command('migrate-set-parameters', {
            'max-bandwidth': 1e12,
            'downtime-limit': 60_000,
          });
          await source.qemu.command('migrate', { uri: again.uri });
          await again.completed;
          await source.expectWhole();
        },
      );
    });

    test('a peer dies', async (context) => {
      const folder = await testFolder();
      const path = await image(folder);
      await entry(
        context,
        { row: 'the source dies, mid-round', how: 'killed', version, direction: 'capture' },
        async () => {
          const source = await slowSource(folder);
          const incoming = await receive({
            uri: 'tcp:127.0.0.1:0',
            image: join(folder, 'dead.img'),
          });
          await source.qemu.command('migrate', { uri: incoming.uri });
          await source.qemu.pass(2);
          await source.qemu.stop();
          await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
          expect(existsSync(join(folder, 'dead.img'))).toBe(false);
        },
      );
      await entry(
        context,
        { row: 'the source dies, mid-round', how: 'killed', version, direction: 'replay' },
        async () => {
          const [machine, uri] = await target(folder);
          const sender = new Running(['send', path, uri, '--json', '--max-bandwidth', '20M']);
          await sender.event(
            'progress',
            ({ ram }) => (ram as { transferred: number }).transferred > 1e6,
          );
          sender.child.kill('SIGKILL');
          expect(await machine.qemu.migrationEnd()).toBe('failed');
          await machine.qemu.stop();
        },
      );
      await entry(
        context,
        {
          row: 'the target dies, mid-round',
          how: 'killed; a QEMU source goes on running',
          version,
          direction: 'capture',
        },
        async () => {
          const source = await slowSource(folder);
          const child = join(folder, 'child.img');
          const receiver = new Running(['receive', 'tcp:127.0.0.1:0', child, '--json']);
          const { uri } = await receiver.event('listening');
          await source.qemu.command('migrate', { uri });
          await source.qemu.pass(2);
          receiver.child.kill('SIGKILL');
          await receiver.ended;
          expect(await source.qemu.migrationEnd()).toBe('failed');
          await source.expectAlive();
          expect(existsSync(child)).toBe(false);
        },
      );
      await entry(
        context,
        {
          row: 'the target dies, mid-round',
          how: 'killed; a QEMU source goes on running',
          version,
          direction: 'replay',
        },
        async () => {
          const [machine, uri] = await target(folder);
          let killed: Promise<void> | undefined;
          const sending = send({
            uri,
            image: path,
            maxBandwidth: 20e6,
            onProgress: ({ ram }) => {
              if (ram.transferred > 1e6) killed ??= machine.qemu.stop();
            },
          });
          await expect(sending).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
          await killed;
        },
      );
    });
  });
});
