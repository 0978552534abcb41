import { join } from 'node:path';
import { proxy, receive, record, replay } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { bytesIn, fixture } from '../../support/recording.ts';
import { errorsOf, run, start, temporaryFolder } from '../../support/command.ts';
import { writeFile } from 'node:fs/promises';

const NAME = 'qemu-10.0-microvm-zlib';
const FILES = ['main', 'channel-0', 'channel-1', 'channel-2'];

describe('a recording', () => {
  it.each(['ws://127.0.0.1:0/vm', 'http://127.0.0.1:0/'])(
    'is replayed and recorded again over %s, with a token, byte for byte',
    async (at) => {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const copy = join(folder, 'copy');
          const incoming = await record({ uri: at, path: copy, token: 'secret' });
          expect(
            (await errorOf(replay({ path: fixture(NAME), uri: incoming.uri, token: 'wrong' })))
              .code,
          ).toBe('ERR_AUTH');
          const sent = await replay({ path: fixture(NAME), uri: incoming.uri, token: 'secret' });
          const kept = await incoming.completed;
          expect(kept.transferred).toBe(sent.transferred);
          for (const file of FILES)
            expect((await bytesIn(copy, file)).equals(await bytesIn(fixture(NAME), file))).toBe(
              true,
            );
        }),
      );
    },
  );

  it('is made an image over WebSockets, through a proxy', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const incoming = await receive({
          uri: 'ws://127.0.0.1:0/',
          image: join(folder, 'image'),
          compression: 'zlib',
          channels: 3,
          inline: true,
        });
        const between = await proxy({ from: 'tcp:127.0.0.1:0', to: incoming.uri });
        await replay({ path: fixture(NAME), uri: between.uri });
        expect((await incoming.completed).blocks.map(({ id }) => id)).toContain('microvm.ram');
        await between.close();
        expect(between.statistics).toMatchObject({ connections: 4, open: 0 });
      }),
    );
  });

  it('by the command', async () => {
    const folder = await temporaryFolder();
    const token = join(folder, 'token');
    await writeFile(token, 'secret\n');
    const recorder = start(
      'record',
      'ws://127.0.0.1:0/',
      join(folder, 'copy'),
      '--token-file',
      token,
    );
    const uri = await recorder.said(/^listening on (ws:\S+)\n/m);
    expect(errorsOf(await run('replay', fixture(NAME), uri))).toEqual(['ERR_AUTH']);
    expect((await run('replay', fixture(NAME), uri, '--token-file', token)).status).toBe(0);
    expect((await recorder.ended).status).toBe(0);
  });
});
