import { join } from 'node:path';
import {
  extractBlock,
  type ExtractProgress,
  Guest,
  type LiveStatistics,
  type MigrationStatistics,
  proxy,
  receive,
  record,
  type RecordingStatistics,
  replay,
  send,
} from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, leavingNothing, PAGE, withFolder } from '../../support/migration.ts';
import { Target, Wire } from '../../support/peer.ts';
import { content } from '../../support/transport.ts';

const LENGTH = 64 * PAGE;
const blocks = [{ id: 'ram', source: content(LENGTH) }];

async function all<S>(progress: AsyncIterable<S>): Promise<S[]> {
  const snapshots: S[] = [];
  for await (const snapshot of progress) snapshots.push(snapshot);
  return snapshots;
}

describe('the progress of a migration, iterated,', () => {
  it('is what the callback has, at both ends, and ends with them', async () => {
    await leavingNothing(async () => {
      const told: { sent: MigrationStatistics[]; received: MigrationStatistics[] } = {
        sent: [],
        received: [],
      };
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new Uint8Array(LENGTH) },
        inline: true,
        onProgress: (statistics) => told.received.push(statistics),
      });
      const sending = send({
        uri: incoming.uri,
        blocks,
        inline: true,
        // Some looks of the watchdog come in between.
        maxBandwidth: 400_000,
        onProgress: (statistics) => told.sent.push(statistics),
      });
      const [sent, received, atSource, atTarget] = await Promise.all([
        sending,
        incoming.completed,
        all(sending.progress),
        all(incoming.progress),
      ]);
      expect(atSource).toEqual(told.sent);
      expect(atTarget).toEqual(told.received);
      expect(atSource.length).toBeGreaterThan(1);
      expect([atSource.at(-1), atTarget.at(-1)]).toEqual([sent, received]);
      // After the end there is the last one for whoever comes, as often as he likes.
      expect(await all(sending.progress)).toEqual([sent]);
      expect(await all(sending.progress)).toEqual([sent]);
    });
  });

  it('passes over what its reader was too slow for, and can be broken off', async () => {
    await leavingNothing(async () => {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new Uint8Array(LENGTH) },
        inline: true,
      });
      let count = 0;
      let enough = (): void => {};
      const fourth = new Promise<void>((resolve) => {
        enough = resolve;
      });
      const onProgress = (): void => void (++count === 4 && enough());
      const sending = send({
        uri: incoming.uri,
        blocks,
        inline: true,
        maxBandwidth: 200_000,
        onProgress,
      });
      for await (const _ of sending.progress) break;
      let read = 0;
      for await (const { ram } of sending.progress) {
        await fourth;
        read++;
        expect(ram.total).toBe(LENGTH);
      }
      expect(read).toBeLessThan(count - 1);
      await Promise.all([sending, incoming.completed]);
    });
  });

  it('does not throw where the migration fails: its promise does, and is not unhandled meanwhile', async () => {
    await leavingNothing(async () => {
      const controller = new AbortController();
      const target = await Target.listen();
      const sending = send({ uri: target.uri, blocks, inline: true, signal: controller.signal });
      await target.accept();
      const unhandled: unknown[] = [];
      const note = (reason: unknown): void => void unhandled.push(reason);
      process.on('unhandledRejection', note);
      controller.abort();
      for await (const _ of sending.progress) {
        // Long enough for what is unhandled to be told.
        for (let turns = 0; turns < 10; turns++)
          await new Promise<void>((resolve) => void setImmediate(resolve));
      }
      process.off('unhandledRejection', note);
      expect(unhandled).toEqual([]);
      expect((await errorOf(sending)).code).toBe('ERR_CANCELLED');
      await target.close();
    });
  });

  it('is there for options that are refused, and empty', async () => {
    const sending = send({ blocks } as never);
    expect(await all(sending.progress)).toEqual([]);
    expect((await errorOf(sending)).code).toBe('ERR_OPTION');
  });
});

describe('progress is iterated as well', () => {
  it('of a guest that is moved, and of one that is kept', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const memory = new WebAssembly.Memory({ initial: 2 });
        const guest = new Guest({ blocks: [{ id: 'ram', memory }], stop() {}, resume() {} });
        const kept = guest.snapshot({ path: join(folder, 'image'), inline: true });
        const ofSnapshot: LiveStatistics[] = await all(kept.progress);
        expect(ofSnapshot.at(-1)).toEqual(await kept);
        const moved = guest.migrate({ uri: `file:${join(folder, 'moved')}`, inline: true });
        expect((await all(moved.progress)).at(-1)).toEqual(await moved);
      }),
    );
  });

  it('of a recorder, of what is replayed, and of a proxy between them', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const [first, second] = [join(folder, 'first'), join(folder, 'second')];
        const recording = await record({ uri: 'tcp:127.0.0.1:0', path: first });
        await send({ uri: recording.uri, blocks, inline: true });
        const recorded: RecordingStatistics[] = await all(recording.progress);
        expect(recorded.at(-1)).toEqual(await recording.completed);

        const again = await record({ uri: 'tcp:127.0.0.1:0', path: second });
        const between = await proxy({ from: 'tcp:127.0.0.1:0', to: again.uri });
        const passed = all(between.progress);
        const replaying = replay({ uri: between.uri, path: first });
        expect((await all(replaying.progress)).at(-1)).toEqual(await replaying);
        await again.completed;
        await between.close();
        expect((await passed).at(-1)).toEqual(between.statistics);
        expect((await all(between.progress)).length).toBe(1);
      }),
    );
  });

  it('of a block that is extracted', async () => {
    await withFolder(async (folder) => {
      const image = join(folder, 'image');
      await send({ uri: `file:${image}`, blocks, inline: true });
      const told: ExtractProgress[] = [];
      const onProgress = (bytes: number, total: number): void => void told.push({ bytes, total });
      const extracting = extractBlock(image, 'ram', join(folder, 'block'), { onProgress });
      const snapshots = await all(extracting.progress);
      expect(snapshots.at(-1)).toEqual(told.at(-1));
      expect(snapshots.at(-1)!.bytes).toBe(snapshots.at(-1)!.total);
      expect(await extracting).toBe(LENGTH);
    });
  });

  it('of a proxy while it works', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      const between = await proxy({ from: 'tcp:127.0.0.1:0', to: target.uri });
      const wire = await Wire.open(between.uri);
      wire.put(Uint8Array.of(1, 2, 3));
      for await (const { transferred } of between.progress) if (transferred === 3) break;
      await between.close();
      await wire.dropped();
      await target.close();
    });
  });
});
