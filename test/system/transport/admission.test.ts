import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConnectionQueue, proxy, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { errorOf, LAUNCHERS, leavingNothing, withFolder } from '../../support/migration.ts';
import { errorsOf, run, startReceiver, temporaryFolder } from '../../support/command.ts';
import { Credentials } from '../../support/tls.ts';
import {
  codesOf,
  content,
  expectWhole,
  move,
  portOf,
  reasonOf,
  type Endpoints,
} from '../../support/transport.ts';

const TOKEN = 'dG9rZW4-_.~+/==';
const BLOCKS = [{ id: 'ram', source: content(1 << 18) }];
const WEB = ['ws://127.0.0.1:0/vm', 'http://127.0.0.1:0/vm'];

/** A target that goes on listening until the test ends it, and what it tells of rejected connections. */
async function listening(
  uri: string,
  options: { token?: string; timeout?: number; maxConnections?: number } = {},
): Promise<{
  uri: string;
  rejected: string[];
  stop(): Promise<void>;
  told(count: number): Promise<string[]>;
}> {
  const rejected: string[] = [];
  const cancel = new AbortController();
  let look = (): void => {};
  const onRejected = (why: string): void => {
    rejected.push(why);
    look();
  };
  const incoming = await receive({
    uri,
    blocks: {},
    inline: true,
    signal: cancel.signal,
    onRejected,
    ...options,
  });
  return {
    uri: incoming.uri,
    rejected,
    async stop() {
      cancel.abort();
      expect((await errorOf(incoming.completed)).code).toBe('ERR_CANCELLED');
    },
    async told(count) {
      while (rejected.length < count) {
        await new Promise<void>((resolve) => {
          look = resolve;
        });
      }
      return rejected;
    },
  };
}

/**
 * Says something on a plain connection, and gives all that is answered until the other end refuses
 * it or hangs up.
 */
function say(uri: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(portOf(uri), '127.0.0.1');
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (data: string) => {
      answer += data;
      if (/^HTTP\/1.1 4/.test(answer)) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.write(text);
  });
}

const post = (token?: string): string =>
  `POST /vm HTTP/1.1\r\nHost: x\r\nContent-Length: ` +
  `4\r\n${token === undefined ? '' : `Authorization: ${token}\r\n`}\r\n....`;
const upgrade = (protocols: string, token?: string): string =>
  `GET /vm HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ` +
  `websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ` +
  `AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ` +
  `${protocols}\r\n${token === undefined ? '' : `Authorization: ${token}\r\n`}\r\n`;
const coded = (token: string): string =>
  `multifd, bearer.${Buffer.from(token).toString('base64url')}`;

describe.each(LAUNCHERS)('a token, $name', ({ inline }) => {
  it.each(WEB)('%s: the right one opens, whoever listens', async (uri) => {
    await leavingNothing(async () => {
      expectWhole(
        await move(
          { source: { uri: '', token: TOKEN }, target: { uri, token: TOKEN } },
          { inline },
        ),
      );
      expectWhole(
        await move(
          {
            source: { uri, listen: true, token: TOKEN },
            target: { connect: true, token: TOKEN },
          } as Endpoints,
          { inline },
        ),
      );
      // Nobody has asked for it.
      expectWhole(await move({ source: { uri: '', token: TOKEN }, target: { uri } }, { inline }));
    });
  });

  it.each(WEB)(
    '%s: none, or another one, is ERR_AUTH at the end that connects, each time',
    async (uri) => {
      for (const token of [undefined, 'other', TOKEN.slice(0, -1), `${TOKEN}=`]) {
        await leavingNothing(async () => {
          const moved = await move(
            { source: { uri: '', ...(token && { token }) }, target: { uri, token: TOKEN } },
            { inline, giveUp: true },
          );
          expect(codesOf(moved)).toEqual(['ERR_AUTH', 'ERR_CANCELLED']);
          expect(moved.rejected[0]).toMatch(/refused a connection from 127.0.0.1 with status 401/);
          for (const text of [reasonOf(moved.sent)!.message, ...moved.rejected]) {
            for (const secret of [TOKEN, ...(token ? [token] : [])])
              if (secret !== 'other') expect(text).not.toContain(secret);
          }
        });
      }
      await leavingNothing(async () => {
        const target = await listening(uri, { token: TOKEN });
        const codes = await Promise.all(
          Array.from(
            { length: 40 },
            async () =>
              (
                await errorOf(
                  send({ uri: target.uri, blocks: BLOCKS, inline: true, token: 'wrong' }),
                )
              ).code,
          ),
        );
        expect(new Set(codes)).toEqual(new Set(['ERR_AUTH']));
        await target.stop();
      });
    },
  );
});

describe('a token', () => {
  it('that a channel is refused with, after the main one was let in, is ERR_AUTH of that channel', async () => {
    await leavingNothing(async () => {
      let requests = 0;
      const server = createServer((request, response) => {
        request.on('error', () => {}).resume();
        const status = requests++ === 0 ? 200 : 401;
        response.writeHead(status).flushHeaders();
        if (status !== 200) response.end();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const error = await errorOf(
        send({
          uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
          blocks: BLOCKS,
          inline: true,
          token: TOKEN,
          zeroPageDetection: 'none',
        }),
      );
      expect(error).toMatchObject({ code: 'ERR_AUTH' });
      server.closeAllConnections();
      server.close();
    });
  });

  it('is shown by header or by subprotocol, and nothing else is one', async () => {
    await leavingNothing(async () => {
      const target = await listening(WEB[0]!, { token: TOKEN, timeout: 300 });
      const status = async (text: string): Promise<string> =>
        (await say(target.uri, text)).slice(9, 12);
      expect(await status(post(`Bearer ${TOKEN}`))).toBe('200');
      expect(await status(upgrade('multifd', `bearer ${TOKEN}`))).toBe('101');
      expect(await status(upgrade(coded(TOKEN)))).toBe('101');
      const wrong = [
        post(),
        post(TOKEN),
        post(`Basic ${TOKEN}`),
        post(`Bearer ${TOKEN}x`),
        post('Bearer '),
        upgrade('multifd'),
        upgrade(coded('wrong')),
        upgrade('multifd, bearer.%%%'),
        upgrade(`multifd, ${TOKEN}`),
        upgrade(coded(TOKEN), 'Bearer wrong'),
      ];
      for (const text of wrong) expect(await status(text), text).toBe('401');
      expect(await say(target.uri, post())).toMatch(/^WWW-Authenticate: Bearer\r$/m);
      await target.stop();
    });
  });

  it('that can be in no header is refused, with ERR_OPTION, at each place that takes one', async () => {
    for (const token of ['', ' ', 'a b', 'a\r\nX: y', 'ä', '=', 'a=b', '"a"', 'a,b']) {
      expect((await errorOf(send({ uri: 'ws://127.0.0.1:1/', blocks: BLOCKS, token }))).code).toBe(
        'ERR_OPTION',
      );
      expect((await errorOf(receive({ uri: 'ws://127.0.0.1:0/', blocks: {}, token }))).code).toBe(
        'ERR_OPTION',
      );
      expect(
        (await errorOf(proxy({ from: 'ws://127.0.0.1:0/', to: 'tcp:127.0.0.1:1', token }))).code,
      ).toBe('ERR_OPTION');
      expect(
        (await errorOf(proxy({ from: 'ws://127.0.0.1:0/', to: 'tcp:127.0.0.1:1', toToken: token })))
          .code,
      ).toBe('ERR_OPTION');
      expect(() => new ConnectionQueue({ token })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION' }),
      );
    }
  });

  it('of the command is in a file, and in no title, and not in what it says', async () => {
    const folder = await temporaryFolder();
    const [file, wrong, empty] = [
      join(folder, 'token'),
      join(folder, 'wrong'),
      join(folder, 'empty'),
    ] as const;
    await writeFile(file, `${TOKEN}\n`);
    await writeFile(wrong, 'another');
    await writeFile(empty, '');
    const { receiver, uri } = await startReceiver(
      'ws://127.0.0.1:0/',
      join(folder, 'image'),
      '--token-file',
      file,
    );
    const refused = await run('send', file, uri, '--token-file', wrong);
    expect({ status: refused.status, errors: errorsOf(refused) }).toEqual({
      status: 1,
      errors: ['ERR_AUTH'],
    });
    if (process.platform === 'linux')
      expect(readFileSync(`/proc/${receiver.child.pid}/cmdline`, 'utf8')).not.toContain(TOKEN);
    const sent = await run('send', wrong, uri, '--token-file', file, '--json');
    expect(sent.status).toBe(0);
    const received = await receiver.ended;
    expect(received.status).toBe(0);
    expect(
      sent.stdout +
        sent.stderr +
        received.stdout +
        received.stderr +
        refused.stdout +
        refused.stderr,
    ).not.toContain(TOKEN);
    expect(errorsOf(await run('send', file, uri, '--token-file', empty))).toEqual(['ERR_OPTION']);
    expect(errorsOf(await run('send', file, uri, '--token-file', join(folder, 'none')))).toEqual([
      'ERR_IO',
    ]);
  });
});

describe('connections that a web listener rejects', () => {
  it('are told what they get: another path, another method, another upgrade', async () => {
    await leavingNothing(async () => {
      const target = await listening(WEB[1]!);
      const status = async (text: string): Promise<string> =>
        (await say(target.uri, text)).slice(9, 12);
      expect(await status(post().replace('/vm', '/'))).toBe('404');
      expect(await status(post().replace('/vm', '/vm?x=1').replace('POST', 'PUT'))).toBe('405');
      expect(await status(upgrade('multifd').replace('/vm', '/'))).toBe('404');
      expect(await status(upgrade('multifd').replace('websocket', 'h2c'))).toBe('400');
      expect(await status('\x16\x03\x01 no HTTP\r\n\r\n')).toBe('');
      expect(target.rejected).toEqual([
        expect.stringContaining('status 404'),
        expect.stringContaining('status 405'),
        expect.stringContaining('status 404'),
        expect.stringContaining('dropped a connection from 127.0.0.1: Invalid Upgrade header'),
        expect.stringMatching(/dropped a connection from 127.0.0.1: Parse Error/),
      ]);
      await target.stop();
    });
  });

  it('who say nothing, half a head, or nothing after the upgrade, are dropped in time, and told', async () => {
    await leavingNothing(async () => {
      const target = await listening(WEB[0]!, { timeout: 300 });
      const silent = [
        say(target.uri, ''),
        say(target.uri, 'POST /vm HTTP/1.1\r\nHost: x\r\n'),
        say(target.uri, upgrade('multifd')),
        say(target.uri, post().replace('4', '9')),
      ];
      const answers = await Promise.all(silent);
      expect(answers.map((answer) => answer.slice(9, 12))).toEqual(['', '', '101', '200']);
      const told = await target.told(4);
      expect(
        told.filter((why) => why.includes('did not say what it is within 0.3 s')),
      ).toHaveLength(1);
      expect(told.filter((why) => why.includes('timeout'))).toHaveLength(2);
      expect(told.filter((why) => why.includes('not those of a migration'))).toHaveLength(1);
      await target.stop();
    });
  });

  it(
    'who are still there when the target gives up are dropped then, and those who were refused ' +
      'a second later',
    async () => {
      await leavingNothing(async () => {
        const target = await listening(WEB[0]!, { token: TOKEN });
        const silent = [
          say(target.uri, ''),
          say(target.uri, 'POST /vm HTTP/1.1\r\nHost: x\r\n'),
          say(target.uri, upgrade('multifd', `Bearer ${TOKEN}`)),
        ];
        expect((await say(target.uri, upgrade('multifd'))).slice(9, 12)).toBe('401');
        await target.stop();
        await Promise.all(silent);
      });
    },
  );

  it('who reset a connection that was refused end nothing but that', async () => {
    await leavingNothing(async () => {
      const target = await listening(WEB[0]!, { token: TOKEN });
      for (const text of [upgrade('multifd'), post()]) {
        await new Promise<void>((resolve) => {
          const socket = connect(portOf(target.uri), '127.0.0.1', () => {
            socket.write(text);
            socket.once('data', () => socket.resetAndDestroy());
          });
          socket.once('close', () => resolve());
        });
      }
      expect((await say(target.uri, upgrade('multifd'))).slice(9, 12)).toBe('401');
      await target.stop();
    });
  });

  it('who are too many at a time are dropped, and those before them stay', async () => {
    await leavingNothing(async () => {
      const target = await listening(WEB[0]!, { maxConnections: 2 });
      const sockets = [new WebSocket(target.uri), new WebSocket(target.uri)];
      for (const socket of sockets)
        await new Promise((resolve) => void socket.once('open', resolve));
      const third = new WebSocket(target.uri);
      await new Promise((resolve) => void third.on('error', () => {}).once('close', resolve));
      const quiet = [say(target.uri, ''), say(target.uri, '')];
      expect(await say(target.uri, '')).toBe('');
      expect(await target.told(2)).toEqual([
        expect.stringContaining('2 others have not said yet what they are'),
        expect.stringContaining('2 others have not said yet what they are'),
      ]);
      expect(sockets.map(({ readyState }) => readyState)).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
      await target.stop();
      await Promise.all(quiet);
    });
  });

  it(
    'a source that listens takes as many connections as it has channels, and the main one; ' +
      'those that come after are dropped and told',
    async () => {
      await leavingNothing(async () => {
        let at = (_: string): void => {};
        const where = new Promise<string>((resolve) => {
          at = resolve;
        });
        const rejected: string[] = [];
        const cancel = new AbortController();
        let dropped = (): void => {};
        const drop = new Promise<void>((resolve) => {
          dropped = resolve;
        });
        const onRejected = (why: string): void => {
          if (rejected.push(why) === 2) dropped();
        };
        const sending = errorOf(
          send({
            uri: 'tcp:127.0.0.1:0',
            listen: true,
            onListening: at,
            blocks: BLOCKS,
            inline: true,
            channels: 1,
            maxBandwidth: 1,
            signal: cancel.signal,
            onRejected,
          }),
        );
        const uri = await where;
        const all = Array.from({ length: 4 }, () => say(uri, ''));
        await drop;
        expect(rejected).toEqual(
          Array(2).fill(expect.stringContaining('the main channel and all 1 others are there')),
        );
        cancel.abort();
        expect((await sending).code).toBe('ERR_CANCELLED');
        await Promise.all(all);
      });
    },
  );
});

describe('TLS over the web', () => {
  it('is refused with ERR_TLS, and as an option where it can not be', async () => {
    const credentials = await Credentials.create();
    try {
      for (const kind of ['wss', 'https']) {
        await leavingNothing(async () => {
          const cancel = new AbortController();
          const options = { blocks: {}, inline: true, signal: cancel.signal };
          const incoming = await receive({
            ...options,
            uri: `${kind}://127.0.0.1:0/`,
            tls: { credsDir: credentials.of('server') },
          });
          const codeOf = async (tls: object, uri = incoming.uri): Promise<string> =>
            (await errorOf(send({ uri, blocks: BLOCKS, inline: true, ...tls }))).code;
          expect(await codeOf({})).toBe('ERR_TLS');
          expect(
            await codeOf({
              tls: { credsDir: credentials.of('client'), hostname: 'another.example.com' },
            }),
          ).toBe('ERR_TLS');
          expect(await codeOf({ tls: { credsDir: credentials.of('psk') } })).toBe('ERR_OPTION');
          expect(
            await codeOf(
              { tls: { credsDir: credentials.of('client') } },
              incoming.uri.replace('s:', ':'),
            ),
          ).toBe('ERR_OPTION');
          expect(await codeOf({}, incoming.uri.replace('s:', ':'))).toBe(
            kind === 'wss' ? 'ERR_CONNECT' : 'ERR_PEER_CLOSED',
          );
          cancel.abort();
          await errorOf(incoming.completed);
        });
        expect((await errorOf(receive({ uri: `${kind}://127.0.0.1:0/`, blocks: {} }))).code).toBe(
          'ERR_OPTION',
        );
        await withFolder(async () => {
          expect(
            (
              await errorOf(
                receive({
                  uri: `${kind}://127.0.0.1:0/`,
                  blocks: {},
                  tls: { credsDir: credentials.of('psk') },
                }),
              )
            ).code,
          ).toBe('ERR_OPTION');
        });
      }
    } finally {
      await credentials.remove();
    }
  });
});
