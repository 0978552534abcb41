import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';
import type { IncomingOptions, OutgoingOptions } from 'multifd';
import type { PairCell } from './cells.ts';
import type { EndReport } from './entries/memory-ends.ts';
import type { PageApi } from './entries/page.ts';
import { bundleForProcess, install, type Installed } from './installed.ts';
import { binaryOf } from './locate.ts';
import { Pages } from './page.ts';
import { type ProcessRuntime, RuntimeProcess } from './process-runtime.ts';
import { startWorkerd, type Workerd } from './workerd.ts';

const LIMIT = 120_000;
/** As the entries have it. */
const TOKEN = 'right';

const PROCESSES: readonly { name: string; runtime: ProcessRuntime }[] = [
  { name: 'Node', runtime: 'node20' },
  { name: 'Deno', runtime: 'deno' },
  { name: 'Bun', runtime: 'bun' },
];

let installed: Installed;
const running: RuntimeProcess[] = [];

beforeAll(async () => {
  installed = install();
  await bundleForProcess(installed);
}, LIMIT);

afterAll(() => {
  for (const child of running) child.kill();
  installed.remove();
});

function end(
  runtime: ProcessRuntime,
  context: TestContext,
  role: 'source',
  options: Omit<OutgoingOptions, 'blocks'>,
): RuntimeProcess;
function end(
  runtime: ProcessRuntime,
  context: TestContext,
  role: 'target',
  options: Omit<IncomingOptions, 'blocks'>,
): RuntimeProcess;
function end(
  runtime: ProcessRuntime,
  context: TestContext,
  role: string,
  options: object,
): RuntimeProcess {
  const child = new RuntimeProcess(runtime, binaryOf(runtime, context), installed, [
    'ends.js',
    role,
    JSON.stringify(options),
  ]);
  running.push(child);
  return child;
}

/** Runs a migration as an entry of the table; both ends have to report the same. */
async function pair(
  { task }: TestContext,
  cell: Omit<PairCell, 'outcome'>,
  work: () => Promise<readonly [EndReport, EndReport]>,
): Promise<void> {
  const done: PairCell = { ...cell, outcome: 'failed' };
  task.meta.pairs = [done];
  const [source, target] = await work();
  expect(target).toEqual(source);
  expect([source.normal, source.duplicate].every((pages) => pages > 0)).toBe(true);
  done.outcome = 'passed';
}

describe.each(PROCESSES)('from $name', (source) => {
  test.for(PROCESSES)('to $name, over TCP', { timeout: LIMIT }, async (target, context) => {
    await pair(context, { source: source.name, target: target.name, how: 'TCP' }, async () => {
      const receiving = end(target.runtime, context, 'target', { uri: 'tcp:127.0.0.1:0' });
      const { uri } = await receiving.next<{ uri: string }>();
      return Promise.all([
        end(source.runtime, context, 'source', { uri }).next<EndReport>(),
        receiving.next<EndReport>(),
      ]);
    });
  });
});

const WEB = [
  { how: 'WebSocket', scheme: 'ws' },
  { how: 'HTTP', scheme: 'http' },
] as const;

describe('workerd', () => {
  let workerd: Workerd | undefined;
  afterAll(() => workerd?.stop());

  const ask = async (
    context: TestContext,
    command: string,
    options: object,
  ): Promise<EndReport> => {
    workerd ??= await startWorkerd(binaryOf('workerd', context), installed);
    const response = await fetch(
      `http://${workerd.host}/${command}?options=${encodeURIComponent(JSON.stringify(options))}`,
    );
    const text = await response.text();
    if (!response.ok) throw new Error(`workerd answers ${response.status}: ${text}`);
    return JSON.parse(text) as EndReport;
  };

  const codecs = WEB.flatMap((way) =>
    (['none', 'zlib', 'zstd'] as const).map((compression) => ({ ...way, compression })),
  );

  test.for(codecs)(
    'from Node, over $how, compression $compression',
    { timeout: LIMIT },
    async ({ how, scheme, compression }, context) => {
      workerd ??= await startWorkerd(binaryOf('workerd', context), installed);
      const name = `${scheme}-${compression}`;
      const shown = compression === 'none' ? how : `${how}, ${compression}`;
      await pair(context, { source: 'Node', target: 'workerd', how: shown }, () =>
        Promise.all([
          end('node20', context, 'source', {
            uri: `${scheme}://${workerd!.host}/target/${name}`,
            token: TOKEN,
            compression,
          }).next<EndReport>(),
          ask(context, `expect/${name}`, { compression }),
        ]),
      );
    },
  );

  test.for(WEB)('to Node, over $how', { timeout: LIMIT }, async ({ how, scheme }, context) => {
    await pair(context, { source: 'workerd', target: 'Node', how }, async () => {
      const target = end('node20', context, 'target', {
        uri: `${scheme}://127.0.0.1:0/`,
        token: TOKEN,
      });
      const { uri } = await target.next<{ uri: string }>();
      return Promise.all([ask(context, 'source', { uri, token: TOKEN }), target.next<EndReport>()]);
    });
  });
});

describe('Chromium', () => {
  let pages: Pages | undefined;
  afterAll(() => pages?.stop());

  const inPage = async (
    context: TestContext,
    role: 'source' | 'target',
    options: object,
  ): Promise<EndReport> => {
    pages ??= await Pages.start(binaryOf('chromium', context), installed);
    const page = await pages.open(true);
    return page.evaluate(
      ([name, given]) => (globalThis as unknown as { api: PageApi }).api[name](given),
      [role, options] as const,
    );
  };

  test('a page as source, to Node', { timeout: LIMIT }, async (context) => {
    await pair(context, { source: 'Chromium', target: 'Node', how: 'WebSocket' }, async () => {
      const target = end('node20', context, 'target', { uri: 'ws://127.0.0.1:0/', token: TOKEN });
      const { uri } = await target.next<{ uri: string }>();
      return Promise.all([
        inPage(context, 'source', { uri, token: TOKEN }),
        target.next<EndReport>(),
      ]);
    });
  });

  test('a page as target, which dials Node', { timeout: LIMIT }, async (context) => {
    await pair(
      context,
      { source: 'Node', target: 'Chromium', how: 'WebSocket, the page dials' },
      async () => {
        const source = end('node20', context, 'source', {
          uri: 'ws://127.0.0.1:0/',
          listen: true,
          token: TOKEN,
        });
        const { uri } = await source.next<{ uri: string }>();
        return Promise.all([
          source.next<EndReport>(),
          inPage(context, 'target', { uri, connect: true, token: TOKEN }),
        ]);
      },
    );
  });
});
