import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { proxy, receive, record, send } from 'multifd';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { expectWhole, move } from '../../support/transport.ts';

const BLOCKS = [{ id: 'ram', source: new Uint8Array(4096) }];

/** Something that listens until it is stopped. */
interface Listening {
  stop(): Promise<unknown>;
}

async function receiver(uri: string): Promise<Listening> {
  const cancel = new AbortController();
  const { completed } = await receive({ uri, blocks: {}, inline: true, signal: cancel.signal });
  return {
    async stop() {
      cancel.abort();
      await errorOf(completed);
    },
  };
}

/** All that listens: resolves once it does. */
const LISTENERS: Record<string, (uri: string, folder: string) => Promise<Listening>> = {
  receive: receiver,
  async send(uri) {
    const cancel = new AbortController();
    let listening = (): void => {};
    const listens = new Promise<void>((resolve) => {
      listening = resolve;
    });
    const { signal } = cancel;
    const onListening = (): void => listening();
    const sent = send({ uri, listen: true, blocks: BLOCKS, inline: true, signal, onListening });
    await Promise.race([listens, sent]);
    return {
      async stop() {
        cancel.abort();
        await errorOf(sent);
      },
    };
  },
  async record(uri, folder) {
    const cancel = new AbortController();
    const path = join(folder, 'recording');
    const { completed } = await record({ uri, path, signal: cancel.signal });
    return {
      async stop() {
        cancel.abort();
        await errorOf(completed);
      },
    };
  },
  async proxy(uri) {
    const { close } = await proxy({ from: uri, to: 'tcp:127.0.0.1:1' });
    return { stop: close };
  },
  async 'proxy, at its other side'(uri) {
    const { close } = await proxy({ from: 'tcp:127.0.0.1:0', to: uri, rendezvous: true });
    return { stop: close };
  },
};

async function serve(path: string): Promise<Server> {
  const server = createServer((socket) => void socket.on('error', () => {}).destroy());
  server.listen({ path });
  await once(server, 'listening');
  return server;
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}

/** A socket that nobody listens on any more, as a process leaves it that was killed. */
async function stale(path: string): Promise<void> {
  const server = await serve(`${path}-`);
  linkSync(`${path}-`, path);
  await closed(server);
}

async function connects(path: string): Promise<boolean> {
  const socket = connect({ path }).on('error', () => {});
  const yes = once(socket, 'connect').then(() => true);
  const connected = await Promise.race([yes, once(socket, 'close').then(() => false)]);
  socket.destroy();
  return connected;
}

/** What has a name, and is no socket that nobody listens on: each is looked at again afterwards. */
const TAKEN: Record<string, (path: string) => Promise<{ says: RegExp; look(): unknown }>> = {
  async 'a file'(path) {
    writeFileSync(path, 'all that there is');
    const look = (): string => readFileSync(path, 'utf8');
    return { says: /there is a file, which is not replaced/, look };
  },
  async 'a folder'(path) {
    mkdirSync(path);
    return { says: /there is a folder/, look: () => lstatSync(path).isDirectory() };
  },
  async 'a pipe'(path) {
    execFileSync('mkfifo', [path]);
    return { says: /there is something that is no socket/, look: () => lstatSync(path).isFIFO() };
  },
  async 'a link to a file'(path) {
    writeFileSync(`${path}-file`, 'all that there is');
    symlinkSync(`${path}-file`, path);
    const look = (): unknown => [lstatSync(path).isSymbolicLink(), readFileSync(path, 'utf8')];
    return { says: /there is a symbolic link/, look };
  },
  async 'a link to a socket that nobody listens on'(path) {
    await stale(`${path}-socket`);
    symlinkSync(`${path}-socket`, path);
    const kept = (): boolean => lstatSync(`${path}-socket`).isSocket();
    const look = (): unknown => [lstatSync(path).isSymbolicLink(), kept()];
    return { says: /there is a symbolic link/, look };
  },
  async 'a link to nothing'(path) {
    symlinkSync(`${path}-nothing`, path);
    return { says: /there is a symbolic link/, look: () => lstatSync(path).isSymbolicLink() };
  },
};

describe.each(Object.entries(LISTENERS))('%s at the path of a Unix socket', (_, listenAt) => {
  it.each(Object.entries(TAKEN))('leaves %s alone', (_, put) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'socket');
        const { says, look } = await put(path);
        const before = look();
        const names = readdirSync(folder);
        const error = await errorOf(listenAt(`unix:${path}`, folder));
        expect(error.code).toBe('ERR_LISTEN');
        expect(error.message).toMatch(says);
        expect(error.message).toContain(path);
        expect([look(), readdirSync(folder)]).toEqual([before, names]);
      }),
    ),
  );

  it('leaves a socket alone that somebody listens on', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'socket');
        const other = await serve(path);
        expect((await errorOf(listenAt(`unix:${path}`, folder))).code).toBe('ERR_LISTEN');
        expect([await connects(path), readdirSync(folder)]).toEqual([true, ['socket']]);
        await closed(other);
      }),
    ));

  it('replaces a socket that nobody listens on, and leaves no name when it ends', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'socket');
        await stale(path);
        const listening = await listenAt(`unix:${path}`, folder);
        expect(await connects(path)).toBe(true);
        await listening.stop();
        expect(readdirSync(folder)).toEqual([]);
      }),
    ));

  it.each(['a file', 'a socket'])('leaves %s alone that has its name when it ends', (kind) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'socket');
        const listening = await listenAt(`unix:${path}`, folder);
        rmSync(path);
        if (kind === 'a file') writeFileSync(path, "somebody else's");
        const other = kind === 'a socket' ? await serve(path) : undefined;
        await listening.stop();
        if (other === undefined) return expect(readFileSync(path, 'utf8')).toBe("somebody else's");
        expect(await connects(path)).toBe(true);
        await closed(other);
      }),
    ),
  );

  it('names the limit of a path that is too long, and makes nothing of its beginning', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'long'.repeat(30));
        const { code, message } = await errorOf(listenAt(`unix:${path}`, folder));
        expect([code, readdirSync(folder)]).toEqual(['ERR_LISTEN', []]);
        const limit = `its path has ${path.length} bytes, and that of a Unix socket at most 10`;
        expect(message).toContain(limit);
      }),
    ));
});

describe('a Unix socket', () => {
  it('that nobody listens on is replaced by one of many who find it', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'socket');
        for (let round = 0; round < 5; round++) {
          await stale(path);
          const listening: Listening[] = [];
          const codes: string[] = [];
          const attempts = Array.from({ length: 8 }, () => receiver(`unix:${path}`));
          for (const one of await Promise.allSettled(attempts)) {
            if (one.status === 'fulfilled') listening.push(one.value);
            else codes.push((one.reason as { code: string }).code);
          }
          expect([listening.length, codes]).toEqual([1, new Array(7).fill('ERR_LISTEN')]);
          expect([await connects(path), readdirSync(folder)]).toEqual([true, ['socket']]);
          await listening[0]!.stop();
        }
      }),
    ));

  it('whose listener is busy, and has as many waiting as it takes, is left alone', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'socket');
      const program = `
        const [, path] = process.argv;
        require('node:net').createServer().listen({ path, backlog: 1 }, () => {
          require('node:fs').writeSync(1, '.');
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        });`;
      const args = ['--input-type=commonjs', '-e', program, path];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      await once(child.stdout, 'data');
      const waiting: Socket[] = [];
      for (let refused = false; !refused && waiting.length < 100; ) {
        const socket = connect({ path });
        waiting.push(socket);
        refused = await once(socket, 'connect').then(
          () => false,
          () => true,
        );
      }
      expect(waiting.length).toBeLessThan(100);
      const error = await errorOf(receive({ uri: `unix:${path}`, blocks: {} }));
      expect(error.code).toBe('ERR_LISTEN');
      expect(error.message).toMatch(/may be in use \(EAGAIN\)/);
      expect(readdirSync(folder)).toEqual(['socket']);
      for (const socket of waiting) socket.destroy();
    }));

  it.each(['-', 'é'])('has a path as long as they may be, of %s', (character) =>
    withFolder(async (folder) => {
      const most = process.platform === 'linux' ? 107 : 103;
      const room = most - Buffer.byteLength(folder) - 1;
      const fits = Math.floor(room / Buffer.byteLength(character));
      const path = join(folder, character.repeat(fits));
      expect(most - Buffer.byteLength(path)).toBeLessThan(Buffer.byteLength(character));
      expectWhole(await move({ source: { uri: '' }, target: { uri: `unix:${path}` } }));
      expect(readdirSync(folder)).toEqual([]);
    }),
  );

  it('that a source is to connect to, and whose path is too long, is no other one', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const long = join(folder, 'long'.repeat(30));
        const short = long.slice(0, 100);
        const other = await serve(short);
        renameSync(short, long.slice(0, 108));
        const sent = send({ uri: `unix:${long}`, blocks: BLOCKS, inline: true });
        const { code, message } = await errorOf(sent);
        expect(code).toBe('ERR_CONNECT');
        expect(message).toMatch(/and that of a Unix socket at most 10[37]/);
        await closed(other);
      }),
    ));

  it('a name that can not be looked at any more is left, and the outcome is what it was', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const where = join(folder, 'where');
        mkdirSync(where);
        const cancel = new AbortController();
        const { signal } = cancel;
        const uri = `unix:${where}/socket`;
        const { completed } = await receive({ uri, blocks: {}, inline: true, signal });
        renameSync(where, join(folder, 'moved'));
        symlinkSync(where, where); // leads to itself
        cancel.abort();
        expect(await errorOf(completed)).toMatchObject({ code: 'ERR_CANCELLED' });
        expect(readdirSync(join(folder, 'moved'))).toEqual(['socket']);
      }),
    ));
});
