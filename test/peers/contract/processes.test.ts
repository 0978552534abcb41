import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { binaryOf } from '../runtimes/locate.ts';

/**
 * What depends on how a process was started, and on what its runtime posts to its threads: each in
 * a process of its own.
 */

const PACKAGE = new URL('../../../build/', import.meta.url);

interface Ended {
  status: number | null;
  said: string;
}

/** Runs it to its end, which it has to come to by itself. */
async function run(
  path: string,
  args: readonly string[],
  input = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child = spawn(path, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NODE_NO_WARNINGS: '1', NO_COLOR: '1', ...env },
    cwd: fileURLToPath(PACKAGE),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, said: said.trim() };
}

/** The beginning of every program here. Its channels are threads. */
const BEGINNING = `
  const { Guest, ConnectionQueue, receive, send } = await import(${JSON.stringify(new URL('index.js', PACKAGE).href)});
  const filled = (bytes) => (bytes.fill(7), bytes);
  /** @returns what the last byte is there, or what went wrong. */
  const move = async (source, target, last) => {
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { heap: target } });
    const results = await Promise.allSettled([send({ uri: incoming.uri, blocks: [{ id: 'heap', source }] }), incoming.completed]);
    const wrong = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code + ' ' + reason.message);
    return wrong.length > 0 ? wrong.join('; ') : last();
  };
`;
const SHARED =
  'const shared = () => new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });\n';
const MOVES = `${BEGINNING}${SHARED}
  const target = shared();
  console.log(await move(filled(new Uint8Array(shared().buffer)), target, () => new Uint8Array(target.buffer).at(-1)));
`;
/** The same as a script, where there is no top-level await. */
const SCRIPT = `(async () => {${MOVES}})()`;

describe.each(['node20', 'node24', 'node26'] as const)('a program that %s is given', (runtime) => {
  test.for<[string, readonly string[], string, NodeJS.ProcessEnv]>([
    ['by --eval, as a module', ['--input-type=module', '--eval', MOVES], '', {}],
    ['by -e, with the flag and its value apart', ['--input-type', 'module', '-e', MOVES], '', {}],
    ['by -e, as a script', ['--input-type=commonjs', '-e', SCRIPT], '', {}],
    ['by -e, without a type', ['-e', SCRIPT], '', {}],
    ['on standard input, as a module', ['--input-type=module', '-'], MOVES, {}],
    ['on standard input, by NODE_OPTIONS', ['-'], MOVES, { NODE_OPTIONS: '--input-type=module' }],
    [
      'with flags of V8, of the process, and of its own',
      [
        '--input-type=module',
        '--max-old-space-size=300',
        '--expose-gc',
        '--title=moving',
        '--stack-size=900',
        '--unhandled-rejections=strict',
        '--conditions=mine',
        '-e',
        MOVES,
      ],
      '',
      {},
    ],
  ])('%s moves its memory, with channels in threads', async ([, args, input, env], context) => {
    expect(await run(binaryOf(runtime, context), args, input, env)).toEqual({
      status: 0,
      said: '7',
    });
  });
});

describe('memory that goes to threads', () => {
  test('is longer than 4 GiB, a target and a source', async (context) => {
    // A few pages of it are touched. Node 20 has no such memory.
    const { status, said } = await run(
      binaryOf('node24', context),
      ['--input-type=module', '-'],
      `${BEGINNING}
      const big = () => new SharedArrayBuffer(2 ** 32 + 65536);
      const whole = big();
      console.log(await move(filled(new Uint8Array(1 << 20)), whole, () => new Uint8Array(whole)[(1 << 20) - 1]));
      const long = new Uint8Array(big());
      console.log(await move(filled(new Uint8Array(1 << 20)), long, () => long[(1 << 20) - 1]));
      const far = new Uint8Array(big(), 2 ** 32 - 65536);
      console.log(await move(filled(new Uint8Array(2 * 65536)), far, () => far.at(-1)));
      const back = new Uint8Array(2 * 65536);
      console.log(await move(far, back, () => back.at(-1)));
    `,
    );
    expect({ status, said: said.split('\n') }).toEqual({ status: 0, said: ['7', '7', '7', '7'] });
  });

  test.for(['node20', 'node24', 'node26'] as const)(
    'has become resizable, on %s',
    { timeout: 120_000 },
    async (runtime, context) => {
      const { status, said } = await run(
        binaryOf(runtime, context),
        ['--input-type=module', '-'],
        `${BEGINNING}
      const make = () => new WebAssembly.Memory({ initial: 16, maximum: 32, shared: true });
      // Where memories can't become that, a buffer of the same kind does.
      const resizable = (memory) => memory.toResizableBuffer?.() ?? new SharedArrayBuffer(1 << 20, { maxByteLength: 2 << 20 });
      for (const kind of ['memory', 'buffer', 'view']) {
        const made = () => {
          const memory = make();
          const buffer = resizable(memory);
          return kind === 'memory' ? { given: memory, bytes: () => new Uint8Array(memory.buffer) } : { given: kind === 'buffer' ? buffer : new Uint8Array(buffer), bytes: () => new Uint8Array(buffer) };
        };
        const [source, target, moved] = [made(), made(), make()];
        filled(source.bytes());
        console.log(kind, await move(source.given, target.given, () => target.bytes().at(-1)));
        const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { heap: moved } });
        const guest = new Guest({ blocks: [{ id: 'heap', memory: source.given }], stop() {}, resume() {} });
        await guest.migrate({ uri: incoming.uri });
        console.log('guest', new Uint8Array(moved.buffer).at(-1));
      }
    `,
      );
      expect({ status, said: said.split('\n') }).toEqual({
        status: 0,
        said: ['memory 7', 'guest 7', 'buffer 7', 'guest 7', 'view 7', 'guest 7'],
      });
    },
  );

  test('cannot be had there, which is told at once: by a thread, and by a port', async (context) => {
    const { status, said } = await run(
      binaryOf('node26', context),
      ['--input-type=module', '-'],
      `${BEGINNING}
      const { Engine, MultifdError, workerLauncher } = await import(${JSON.stringify(new URL('engine.js', PACKAGE).href)});
      const unreadable = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true }).toResizableBuffer();
      const engine = new Engine({ launcher: workerLauncher(new URL(${JSON.stringify(new URL('send-worker.mjs', PACKAGE).href)})), channels: [unreadable], clients: 1, payloadBytes: 64 });
      await engine.start().catch(async (error) => (console.log(error.code, error.message), engine.abort(error)));
      const inbox = new ConnectionQueue();
      const { port1, port2 } = new MessageChannel();
      await inbox.add(port1);
      const incoming = await receive({ inbox, blocks: {}, timeout: 1_000_000 });
      const main = new Uint8Array([0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3]);
      port2.postMessage(main);
      port2.postMessage(unreadable);
      await incoming.completed.catch((error) => console.log(error.code, error.message));
      port2.close();
    `,
    );
    expect(status).toBe(0);
    expect(said.split('\n')).toEqual([
      expect.stringMatching(/^ERR_ENGINE a message between two threads could not be read/),
      expect.stringMatching(/^ERR_PEER_CLOSED .*posted what can not be read here/),
    ]);
  });

  test('has 64-bit addresses: refused, with the reason', async (context) => {
    const { status, said } = await run(
      binaryOf('node24', context),
      ['--input-type=module', '-'],
      `${BEGINNING}
      const make = (shared) => new WebAssembly.Memory({ address: 'i64', initial: 16n, maximum: 16n, shared });
      for (const shared of [true, false]) {
        const guest = new Guest({ blocks: [{ id: 'heap', memory: make(shared) }], stop() {}, resume() {} });
        await guest.migrate({ connect: () => new MessageChannel().port1 }).catch((error) => console.log(error.code, error.message));
      }
    `,
    );
    expect(status).toBe(0);
    expect(said.split('\n')).toEqual(
      Array(2).fill(expect.stringMatching(/^ERR_UNSUPPORTED this memory has 64-bit addresses/)),
    );
  });
});

test('where WebAssembly may not be compiled, that is said, and compiled modules do instead', async () => {
  const { status, said } = await run(
    process.execPath,
    ['--input-type=module', '-'],
    `${BEGINNING}
    const { compileCore } = await import(${JSON.stringify(new URL('core.js', PACKAGE).href)});
    const { compile } = WebAssembly;
    WebAssembly.compile = async () => { throw new WebAssembly.CompileError('call to WebAssembly.compile() blocked by CSP'); };
    const memory = new Uint8Array(1 << 16);
    await receive({ uri: 'tcp:127.0.0.1:0', blocks: {} }).catch((error) => console.log(error.code, error.message));
    await compileCore('shared').catch((error) => console.log(error.code, error.cause.constructor.name));
    WebAssembly.compile = compile;
    const target = new Uint8Array(1 << 16);
    console.log(await move(filled(memory), target, () => target.at(-1)));
  `,
  );
  expect(status).toBe(0);
  expect(said.split('\n')).toEqual([
    expect.stringMatching(/^ERR_UNSUPPORTED WebAssembly can't be compiled here .*wasm-unsafe-eval/),
    'ERR_UNSUPPORTED CompileError',
    '7',
  ]);
});
