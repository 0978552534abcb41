import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type IncomingMigration, proxy, receive, record, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, LAUNCHERS, leavingNothing, PAGE, withFolder } from '../../support/migration.ts';
import { Source, Target, Wire } from '../../support/peer.ts';
import { content } from '../../support/transport.ts';
import {
  be32,
  command,
  endOfSection,
  flush,
  header,
  openReturnPath,
  shut,
  start,
} from '../../support/wire.ts';

const PAGES = 16;
const memory = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(PAGES * PAGE));

/** What `close()` made of a migration. */
async function expectClosed(migration: { completed: Promise<unknown> }): Promise<void> {
  const error = await errorOf(migration.completed);
  expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
  expect(error.cause).toMatchObject({ name: 'AbortError', message: 'close() was called' });
}

describe.each(LAUNCHERS)('a target that is closed, $name', ({ inline }) => {
  it('before its source has come: its place is free, and nothing is unhandled', async () => {
    await leavingNothing(async () => {
      const { signal } = new AbortController();
      const first = await receive({ uri: 'tcp:127.0.0.1:0', blocks: {}, inline, signal });
      await first.close();
      const second = await receive({ uri: first.uri, blocks: {}, inline });
      await second.close();
      await expectClosed(first);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    });
  });

  it('in the middle: its source is told, and no image is left', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          image: join(folder, 'image'),
          inline,
        });
        const source = await Source.connect(incoming.uri, 2);
        source.main.put(header(), openReturnPath(), command(2, be32(1)));
        await source.main.take(8); // the answer
        source.main.put(start([{ id: 'ram', length: PAGES * PAGE }]), flush(), endOfSection());
        const closing = [incoming.close(), incoming.close(), incoming[Symbol.asyncDispose]()];
        expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(1));
        await source.close();
        await Promise.all(closing);
        await expectClosed(incoming);
        expect(await readdir(folder)).toEqual([]);
      }),
    );
  });

  it('when it has everything: nothing changes', async () => {
    await leavingNothing(async () => {
      const [source, target] = [content(PAGES * PAGE), memory()];
      const { signal } = new AbortController();
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: target },
        inline,
        signal,
      });
      await send({ uri: incoming.uri, blocks: [{ id: 'ram', source }], inline });
      await incoming.completed;
      await incoming.close();
      await incoming.close();
      expect(await incoming.completed).toMatchObject({ ram: { remaining: 0 } });
      expect(Buffer.compare(source, target)).toBe(0);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    });
  });

  it('once its program runs: that is waited for, and counts', async () => {
    await leavingNothing(async () => {
      let closing: Promise<void> | undefined;
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: memory() },
        inline,
        start: () => {
          closing = incoming.close();
        },
      });
      const blocks = [{ id: 'ram', source: content(PAGES * PAGE) }];
      await send({ uri: incoming.uri, blocks, inline });
      await closing;
      expect(await incoming.completed).toMatchObject({ confirmed: true });
    });
  });

  it('while it loads an image', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const uri = `file:${join(folder, 'image')}`;
        await send({ uri, blocks: [{ id: 'ram', source: content(1 << 20) }], inline });
        // It is asked where its block goes before any page is there.
        let closing: Promise<void> | undefined;
        const incoming = await receive({
          uri,
          inline,
          blocks: async () => {
            await Promise.resolve();
            closing = incoming.close();
            return new Uint8Array(1 << 20);
          },
        });
        await expectClosed(incoming);
        await closing;
      }),
    );
  });

  it('by the end of its scope', async () => {
    await leavingNothing(async () => {
      let left: IncomingMigration;
      {
        await using incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: {}, inline });
        left = incoming;
      }
      await expectClosed(left);
    });
  });
});

describe('a recorder that is closed', () => {
  it.each([false, true])('leaves nothing, or what came if that is kept: %s', async (keep) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'recording');
        const { signal } = new AbortController();
        const recording = await record({ uri: 'tcp:127.0.0.1:0', path, keep, signal });
        const source = await Source.connect(recording.uri, 0);
        source.main.put(header());
        for await (const { transferred } of recording.progress) if (transferred > 0) break;
        await Promise.all([recording.close(), recording.close()]);
        await expectClosed(recording);
        await source.close();
        expect(await readdir(folder)).toEqual(keep ? ['recording'] : []);
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      }),
    );
  });
});

describe('a proxy that is closed', () => {
  it('closes what it joins, also by the end of its scope, and more than once', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      let wire: Wire;
      {
        await using between = await proxy({ from: 'tcp:127.0.0.1:0', to: target.uri });
        wire = await Wire.open(between.uri);
        wire.put(Uint8Array.of(1, 2, 3));
        await (await target.accept()).take(3);
        await Promise.all([between.close(), between.close()]);
        expect(between.statistics).toMatchObject({ connections: 1, open: 0, transferred: 3 });
      }
      await wire.dropped();
      await target.close();
    });
  });
});

it('a runtime without Symbol.asyncDispose has what compiled code takes for it', () => {
  const program = `
    const known = Symbol;
    const { asyncDispose, ...rest } = Object.getOwnPropertyDescriptors(known);
    globalThis.Symbol = Object.defineProperties((name) => known(name), rest);
    const { receive } = await import(${JSON.stringify(BUILD)});
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: {}, inline: true });
    await incoming[known.for('Symbol.asyncDispose')]();
    console.log(await incoming.completed.catch(({ code }) => code));`;
  const run = execFileSync(process.execPath, ['--input-type=module', '-e', program]);
  expect(run.toString().trim()).toBe('ERR_CANCELLED');
});

const BUILD = fileURLToPath(new URL('../../../build/index.js', import.meta.url));
