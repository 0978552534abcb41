import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Guest, ConnectionQueue, proxy, type ProxyOptions, receive, record, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { errorsOf, run, start, temporaryFolder } from '../../support/command.ts';
import { Credentials } from '../../support/tls.ts';
import { content, expectWhole, move, portOf } from '../../support/transport.ts';

const TOKEN = 'secret';
const PAGE_ORIGIN = 'https://example.com';
const BLOCKS = [{ id: 'ram', source: content(1 << 16) }];

type Kind = 'POST' | 'upgrade';
type Headers = Record<string, string>;

interface Who {
  token?: string;
  origins?: readonly string[];
}

/** Answers requests, as long as it is open. */
interface Answering {
  /** The status of a request. */
  ask(kind: Kind, headers: Headers): Promise<number>;
  rejected: string[];
  close(): Promise<unknown>;
}

/** The status that a listener answers with; nothing more is said then. */
function statusOf(uri: string, kind: Kind, headers: Headers): Promise<number> {
  const all: Headers = {
    Host: 'x',
    ...(kind === 'POST'
      ? { 'Content-Length': '4' }
      : {
          Connection: 'Upgrade',
          Upgrade: 'websocket',
          'Sec-WebSocket-Version': '13',
          'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(portOf(uri), '127.0.0.1').on('error', () => {});
    socket.setEncoding('latin1').on('data', (data: string) => {
      answer += data;
      if (answer.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('close', () => resolve(Number(answer.slice(9, 12))));
    socket.write(`${kind === 'POST' ? 'POST' : 'GET'} / HTTP/1.1\r\n${lines.join('')}\r\n`);
  });
}

const asker =
  (uri: string): Answering['ask'] =>
  (kind, headers) =>
    statusOf(uri, kind, headers);

async function proxying(who: Partial<ProxyOptions>, at: 'uri' | 'toUri'): Promise<Answering> {
  const rejected: string[] = [];
  const onRejected = (why: string): void => void rejected.push(why);
  const [web, socket] = ['ws://127.0.0.1:0/', 'tcp:127.0.0.1:0'];
  const ends = at === 'uri' ? { from: web, to: socket } : { from: socket, to: web };
  const between = await proxy({ ...ends, rendezvous: true, onRejected, ...who });
  return { ask: asker(between[at]), rejected, close: between.close };
}

/** All that takes requests. */
const TAKERS: Record<string, (who: Who, folder: string) => Promise<Answering>> = {
  async receive(who) {
    const rejected: string[] = [];
    const cancel = new AbortController();
    const onRejected = (why: string): void => void rejected.push(why);
    const common = { inline: true, signal: cancel.signal, onRejected, ...who };
    const incoming = await receive({ uri: 'ws://127.0.0.1:0/', blocks: {}, ...common });
    const close = (): Promise<unknown> => (cancel.abort(), errorOf(incoming.completed));
    return { ask: asker(incoming.uri), rejected, close };
  },
  async record(who, folder) {
    const rejected: string[] = [];
    const cancel = new AbortController();
    const onRejected = (why: string): void => void rejected.push(why);
    const path = join(folder, 'recording');
    const common = { path, signal: cancel.signal, onRejected, ...who };
    const incoming = await record({ uri: 'http://127.0.0.1:0/', ...common });
    const close = (): Promise<unknown> => (cancel.abort(), errorOf(incoming.completed));
    return { ask: asker(incoming.uri), rejected, close };
  },
  proxy: (who) => proxying(who, 'uri'),
  'proxy, at its other side': ({ token, origins }) =>
    proxying({ ...(token && { toToken: token }), ...(origins && { toOrigins: origins }) }, 'toUri'),
  async inbox(who) {
    const rejected: string[] = [];
    const inbox = new ConnectionQueue({ ...who, onRejected: (why) => void rejected.push(why) });
    return {
      rejected,
      async ask(kind, headers) {
        const body = { method: 'POST', body: new ReadableStream(), duplex: 'half' } as RequestInit;
        const init = kind === 'POST' ? body : { headers: { Upgrade: 'websocket' } };
        const request = new Request('http://edge.example.com/', init);
        for (const [name, value] of Object.entries(headers)) request.headers.set(name, value);
        // What a browser sends may not be set in a program, on a request of its own.
        if (headers['Origin'] !== undefined && request.headers.get('Origin') === null) {
          throw new Error('this runtime does not let a test say where it is from');
        }
        const { status } = await inbox.fetch(request);
        // Node hands no upgrade to a handler of requests: it has been let in that far.
        return kind === 'upgrade' && status === 501 ? 101 : status;
      },
      close: async () => inbox.close(),
    };
  },
};

const NAMED = [PAGE_ORIGIN, 'http://127.0.0.1:8080', 'chrome-extension://abc'];
const LET_IN = { POST: 200, upgrade: 101 } as const;

describe.each(Object.entries(TAKERS))('%s, asked by a page', (_, takerOf) => {
  const taking = (who: Who, work: (taker: Answering) => Promise<void>): Promise<void> =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const taker = await takerOf(who, folder);
        await work(taker);
        await taker.close();
      }),
    );

  describe.each(['POST', 'upgrade'] as const)('%s', (kind) => {
    it('without a token lets in no page whose origin is not named, and tells', () =>
      taking({}, async ({ ask, rejected }) => {
        const wrong = [PAGE_ORIGIN, 'http://127.0.0.1:8080', 'http://localhost', 'null', ''];
        for (const Origin of wrong) expect(await ask(kind, { Origin }), Origin).toBe(403);
        // A page whose host has our address by now: it is asked for by that name.
        const rebound = { Host: 'evil.example:8080', Origin: 'http://evil.example:8080' };
        expect(await ask(kind, rebound)).toBe(403);
        expect(await ask(kind, { Origin: `${PAGE_ORIGIN}, ${PAGE_ORIGIN}` })).toBe(403);
        const refused = rejected.filter((why) => why.includes('with status 403'));
        expect(refused).toHaveLength(7);
        expect(refused[0]).toContain(`it is a page's, of the origin "${PAGE_ORIGIN}"`);
        expect(await ask(kind, {})).toBe(LET_IN[kind]);
      }));

    it('lets in those that are named, to the letter', () =>
      taking({ origins: NAMED }, async ({ ask }) => {
        for (const Origin of NAMED) expect(await ask(kind, { Origin }), Origin).toBe(LET_IN[kind]);
        const wrong = [
          'http://example.com',
          'https://example.com:8443',
          'https://example.com.evil.example',
          'https://www.example.com',
          'https://EXAMPLE.com',
          'https://example.com/',
          'null',
        ];
        for (const Origin of wrong) expect(await ask(kind, { Origin }), Origin).toBe(403);
      }));

    it('lets in all, if that is said, and with a token all that have it', async () => {
      await taking({ origins: ['*'] }, async ({ ask }) => {
        expect(await ask(kind, { Origin: PAGE_ORIGIN })).toBe(LET_IN[kind]);
        expect(await ask(kind, { Origin: 'null' })).toBe(LET_IN[kind]);
      });
      const right = { Authorization: `Bearer ${TOKEN}` };
      await taking({ token: TOKEN }, async ({ ask }) => {
        for (const Origin of [PAGE_ORIGIN, 'null']) {
          expect(await ask(kind, { Origin, ...right })).toBe(LET_IN[kind]);
          expect(await ask(kind, { Origin })).toBe(401);
        }
      });
      await taking({ token: TOKEN, origins: [PAGE_ORIGIN] }, async ({ ask }) => {
        expect(await ask(kind, { Origin: PAGE_ORIGIN, ...right })).toBe(LET_IN[kind]);
        expect(await ask(kind, { Origin: PAGE_ORIGIN })).toBe(401);
        expect(await ask(kind, { Origin: 'https://evil.example', ...right })).toBe(403);
        expect(await ask(kind, right)).toBe(LET_IN[kind]);
      });
    });
  });

  it.each([
    ['null', /any page can say/],
    ['https://example.com/', /a browser sends https:\/\/example\.com for that/],
    ['https://Example.com', /a browser sends https:\/\/example\.com/],
    ['https://example.com:443', /a browser sends https:\/\/example\.com/],
    ['https://user@example.com', /a browser sends https:\/\/example\.com/],
    ['https://example.com/page', /a browser sends https:\/\/example\.com/],
    ['example.com', /give SCHEME:\/\/HOST/],
    ['ws://example.com', /give SCHEME/],
    ['chrome-extension://abc/', /give SCHEME/],
    ['https://*.example.com', /give SCHEME/],
    ['https://exa mple.com', /give SCHEME/],
    ['', /give SCHEME/],
    [7 as never, /give SCHEME/],
  ])('refuses %j as an origin', async (origin, why) => {
    await withFolder(async (folder) => {
      const error = await errorOf(takerOf({ origins: [origin] }, folder));
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toMatch(why);
    });
  });
});

describe('a source that listens', () => {
  const WEB = ['ws', 'http', 'wss', 'https'].map((kind) => `${kind}://127.0.0.1:0/`);

  it.each(WEB)('at %s has to have a token', async (uri) => {
    const credentials = await Credentials.create();
    try {
      await leavingNothing(async () => {
        const secure = uri.startsWith('wss:') || uri.startsWith('https:');
        const tls = secure ? { tls: { credsDir: credentials.of('server') } } : {};
        const onListening = (): void => expect.unreachable();
        const common = { uri, listen: true, inline: true, ...tls, onListening };
        const why = /whoever connects to .* gets the memory: give both ends a token/;
        const sent = await errorOf(send({ ...common, blocks: BLOCKS }));
        expect(sent).toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(why) });
        const memory = new WebAssembly.Memory({ initial: 1 });
        const untouched = (): void => expect.unreachable();
        const blocks = [{ id: 'ram', memory }];
        const guest = new Guest({ blocks, stop: untouched, resume: untouched });
        const moved = await errorOf(guest.migrate(common));
        expect(moved).toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(why) });
      });
    } finally {
      await credentials.remove();
    }
  });

  it('lets in a page that has the token, and no other', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      let at = (_: string): void => {};
      const where = new Promise<string>((resolve) => {
        at = resolve;
      });
      const common = { uri: WEB[0]!, listen: true, inline: true, token: TOKEN };
      const { signal } = cancel;
      const sent = send({ ...common, blocks: BLOCKS, signal, onListening: at });
      const uri = await where;
      const Origin = PAGE_ORIGIN;
      expect(await statusOf(uri, 'upgrade', { Origin })).toBe(401);
      const Authorization = `Bearer ${TOKEN}`;
      expect(await statusOf(uri, 'upgrade', { Origin, Authorization })).toBe(101);
      cancel.abort();
      await errorOf(sent);
    });
  });

  it('at a socket takes none, as there is no request to show it in', async () => {
    await leavingNothing(async () => {
      const source = { uri: 'tcp:127.0.0.1:0', listen: true };
      expectWhole(await move({ source, target: { connect: true } }));
    });
  });
});

describe('as a command', () => {
  it('a source that listens has to have a token', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'file');
    await writeFile(file, content(1 << 16));
    for (const uri of ['ws://127.0.0.1:0/', 'http://127.0.0.1:0/']) {
      const ended = await run('send', file, uri, '--listen');
      expect([ended.status, errorsOf(ended)]).toEqual([2, ['ERR_OPTION']]);
      expect(ended.stderr).toContain('--token-file');
    }
  });

  it.each([
    ['receive', '--origin', (folder: string) => ['ws://127.0.0.1:0/', join(folder, 'image')]],
    ['record', '--origin', (folder: string) => ['ws://127.0.0.1:0/', join(folder, 'rec')]],
    ['proxy', '--origin', () => ['ws://127.0.0.1:0/', 'tcp:127.0.0.1:1']],
    ['proxy', '--to-origin', () => ['tcp:127.0.0.1:0', 'ws://127.0.0.1:0/', '--rendezvous']],
  ])('%s lets in the pages of an origin that %s names', async (command, option, args) => {
    const folder = await temporaryFolder();
    const named = [option, PAGE_ORIGIN, option, 'http://localhost:8080'];
    const running = start(command, ...args(folder), ...named, '--json');
    const listening = await running.event('listening');
    const uri = listening[option === '--to-origin' ? 'to' : 'uri'] as string;
    for (const Origin of [PAGE_ORIGIN, 'http://localhost:8080']) {
      expect(await statusOf(uri, 'upgrade', { Origin })).toBe(101);
    }
    expect(await statusOf(uri, 'upgrade', { Origin: 'https://evil.example' })).toBe(403);
    expect(await running.said(/"https:\/\/evil.example"/)).toBeDefined();
    running.child.kill('SIGINT');
    await running.ended;
    expect((await run(command, '--help')).stdout).toContain(`${option} <origin>`);
    const wrong = await run(command, ...args(folder), option, 'null');
    expect([wrong.status, errorsOf(wrong)]).toEqual([2, ['ERR_OPTION']]);
  });
});
