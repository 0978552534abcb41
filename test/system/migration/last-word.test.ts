import { Guest, type MigrationStatistics, type OutgoingOptions, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Target, type Wire } from '../../support/peer.ts';
import {
  be16,
  be32,
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  openReturnPath,
  part,
  shut,
  start,
} from '../../support/wire.ts';
import { errorOf, LAUNCHERS, leavingNothing } from '../../support/migration.ts';

/**
 * What a source knows of a target that has been sent everything, and how long it waits for its
 * word.
 */

const LENGTH = 1 << 20;
const PONG = concat(be16(2), be16(4), be32(0));
const STREAM = concat(
  header(),
  openReturnPath(),
  start([{ id: 'ram', length: LENGTH }]),
  flush(),
  endOfSection(),
  part(),
  flush(),
  endOfSection(),
  end(),
  flush(),
  endOfSection(),
  endOfFile(),
);

/** Takes all that a source has to say; its main channel. */
async function everything(target: Target): Promise<Wire> {
  const main = await target.accept();
  for (const channel of await target.channels(2)) channel.ignore();
  await main.take(STREAM.length);
  return main;
}

/** Gives signs of life until `over` is called. */
function alive(main: Wire): { over(): void } {
  const timer = setInterval(() => main.put(PONG), 20);
  return { over: () => clearInterval(timer) };
}

async function sending(
  options: Partial<OutgoingOptions>,
  act: (target: Target) => Promise<{ over(): void } | void>,
) {
  let last: MigrationStatistics | undefined;
  const target = await Target.listen();
  const sent = send({
    uri: target.uri,
    blocks: [{ id: 'ram', source: new Uint8Array(LENGTH).fill(1) }],
    timeout: 600_000,
    onProgress: (statistics) => (last = statistics),
    ...options,
  });
  const settled = sent.then(
    (statistics) => ({ statistics, error: undefined }),
    (error: unknown) => ({ statistics: undefined, error }),
  );
  const acted = await act(target);
  const { statistics } = await settled;
  acted?.over();
  await target.close();
  return { error: statistics === undefined ? await errorOf(sent) : undefined, statistics, last };
}

describe.each(LAUNCHERS)('a source, $name', ({ inline }) => {
  it('whose target has said that it has everything knows that', async () => {
    await leavingNothing(async () => {
      const { statistics } = await sending({ inline }, async (target) =>
        (await everything(target)).put(shut(0)),
      );
      expect(statistics).toMatchObject({ confirmed: true });
    });
  });

  it('without a return path knows nothing', async () => {
    await leavingNothing(async () => {
      const { statistics } = await sending({ inline, returnPath: false }, async (target) => {
        (await target.accept()).ignore();
        for (const channel of await target.channels(2)) channel.ignore();
      });
      expect(statistics).toMatchObject({ confirmed: null });
    });
  });

  it(
    'whose target says that it is alive, and never that it has everything, gives up after the ' +
      'commit time-out, in doubt',
    async () => {
      await leavingNothing(async () => {
        const { error, last } = await sending({ inline, commitTimeout: 300 }, async (target) =>
          alive(await everything(target)),
        );
        expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
        expect(error?.message).toMatch(/within 0.3 s that it is in place.*may have it, and run it/);
        expect(last).toMatchObject({ confirmed: false });
      });
    },
  );

  it('whose target is silent then gives up after the time-out', async () => {
    await leavingNothing(async () => {
      const { error, last } = await sending(
        { inline, timeout: 3_000 },
        async (target) => void (await everything(target)),
      );
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      expect(error?.message).toContain('nothing has moved');
      expect(last).toMatchObject({ confirmed: false });
    });
  });

  it('whose target says that it is alive, and takes nothing, gives up after the time-out', async () => {
    await leavingNothing(async () => {
      const { error, last } = await sending(
        {
          inline,
          timeout: 3_000,
          blocks: [{ id: 'ram', source: new Uint8Array(new SharedArrayBuffer(64 << 20)).fill(1) }],
        },
        async (target) => {
          const main = await target.accept();
          await target.channels(2);
          return alive(main);
        },
      );
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      expect(error?.message).not.toContain('may have it');
      expect(last).toMatchObject({ confirmed: null });
    });
  });

  it(
    'whose target goes when it has been sent everything is in doubt; one whose target says ' +
      'that it failed is not',
    async () => {
      await leavingNothing(async () => {
        const gone = await sending({ inline }, async (target) =>
          (await everything(target)).destroy(),
        );
        expect(gone.error).toMatchObject({ code: 'ERR_PEER_CLOSED', channel: 'main' });
        expect(gone.error?.message).toContain('may have it, and run it');
        expect(gone.last).toMatchObject({ confirmed: false });
        const failed = await sending({ inline }, async (target) =>
          (await everything(target)).put(shut(1)),
        );
        expect(failed.error).toMatchObject({ code: 'ERR_REMOTE' });
        expect(failed.error?.message).not.toContain('may have it');
        expect(failed.last).toMatchObject({ confirmed: null });
      });
    },
  );

  it('whose target drops a channel as soon as it comes says what to set there', async () => {
    await leavingNothing(async () => {
      const { error } = await sending({ inline }, async (target) => {
        const main = await target.accept();
        main.ignore();
        for (let n = 0; n < 2; n++) (await target.accept()).destroy();
      });
      expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED', channel: expect.any(Number) });
      expect(error?.message).toMatch(/multifd on there.*multifd-channels 2/);
    });
  });

  it('with a guest that stands still: it goes on here after the commit time-out', async () => {
    await leavingNothing(async () => {
      const events: string[] = [];
      const target = await Target.listen();
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: new Uint8Array(LENGTH).fill(1) }],
        stop: () => void events.push('stop'),
        resume: () => void events.push('resume'),
      });
      const migrating = errorOf(
        guest.migrate({
          uri: target.uri,
          inline,
          timeout: 600_000,
          commitTimeout: 300,
          channels: 1,
        }),
      );
      const main = await target.accept();
      for (const channel of await target.channels(1)) channel.ignore();
      main.ignore();
      const signs = alive(main);
      expect(await migrating).toMatchObject({ code: 'ERR_TIMEOUT' });
      signs.over();
      expect(events).toEqual(['stop', 'resume']);
      await target.close();
    });
  });
});
