import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { endProcess, runProgram, startProgram } from '../lib/process.ts';
import { ROOT } from '../lib/tools.ts';
import type { KernelOrder } from './measure-kernel.ts';

/** Measures a kernel in a fresh process of some runtime. */
export type Launch = (order: KernelOrder) => Promise<number>;

const CORE = fileURLToPath(new URL('build/core.shared.wasm', ROOT));
const built = (name: string): string => fileURLToPath(new URL(`build/bench/core/${name}`, ROOT));
const TIMEOUT_MS = 60_000;

/** Node, Deno and Bun: one program for all. */
export function processLaunch(runtime: string, ...args: readonly string[]): Launch {
  return async (order) =>
    speedIn(
      (await runProgram(runtime, [...args, built('run-process.js'), JSON.stringify(order), CORE]))
        .stdout,
    );
}

export function nativeLaunch(program: string): Launch {
  return async ({ kernel, mib }) => speedIn((await runProgram(program, [kernel, `${mib}`])).stdout);
}

/** The scan of a live migration, here. */
export async function scanSpeed(mib: number): Promise<number> {
  return speedIn((await runProgram(process.execPath, [built('run-scan.js'), `${mib}`])).stdout);
}

/** A page in a browser without a window, cross-origin isolated. */
export function chromiumLaunch(chromium: string, folder: string): Launch {
  return async (order) => {
    let tell = (_: string): void => {};
    const said = new Promise<string>((resolve) => {
      tell = resolve;
    });
    const server = await pageServer(tell);
    const profile = await mkdtemp(join(folder, 'chromium-'));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/?order=${encodeURIComponent(JSON.stringify(order))}`;
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ];
    const browser = startProgram(chromium, [...flags, `--user-data-dir=${profile}`, url], {
      stdio: 'ignore',
    });
    try {
      return speedIn(await inTime(said));
    } finally {
      await endProcess(browser);
      server.closeAllConnections();
      server.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 10 });
    }
  };
}

async function pageServer(tell: (said: string) => void): Promise<Server> {
  const files: Record<string, [string, () => Promise<Uint8Array | string>]> = {
    '/': [
      'text/html',
      async () =>
        '<!doctype html><meta charset="utf-8"><title>core</title><script type="module" ' +
        'src="run-page.js"></script>',
    ],
    '/run-page.js': ['text/javascript', () => readFile(built('run-page.js'))],
    '/core.wasm': ['application/wasm', () => readFile(CORE)],
  };
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      tell((await request.setEncoding('utf8').toArray()).join(''));
      response.end();
      return;
    }
    const file = files[new URL(request.url!, 'http://localhost').pathname];
    response.writeHead(file === undefined ? 404 : 200, {
      'content-type': file?.[0] ?? 'text/plain',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    response.end(await file?.[1]());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** An isolate that answers one request. */
export function workerdLaunch(workerd: string, folder: string): Launch {
  return async (order) => {
    const home = await mkdtemp(join(folder, 'workerd-'));
    await copyFile(built('run-workerd.js'), join(home, 'worker.js'));
    await copyFile(CORE, join(home, 'core.wasm'));
    await writeFile(join(home, 'config.capnp'), CONFIG);
    const server = startProgram(
      workerd,
      ['serve', 'config.capnp', '--socket-addr=http=127.0.0.1:0', '--control-fd=3'],
      { cwd: home, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] },
    );
    try {
      const response = await inTime(
        portOf(server.stdio[3] as NodeJS.ReadableStream).then((port) =>
          fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: JSON.stringify(order) }),
        ),
      );
      return speedIn(await response.text());
    } finally {
      await endProcess(server);
      await rm(home, { recursive: true, force: true });
    }
  };
}

const CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .worker)], sockets = [(name = "http", http = (), service = "main")]);
const worker :Workerd.Worker = (modules = [(name = "worker.js", esModule = embed "worker.js"), (name = "core.wasm", wasm = embed "core.wasm")], compatibilityDate = "2026-01-01");
`;

/** workerd says on its control pipe where it listens, in lines of JSON. */
async function portOf(control: NodeJS.ReadableStream): Promise<number> {
  let text = '';
  for await (const chunk of control) {
    text += chunk.toString();
    const port = /"event":"listen".*"port":(\d+)/.exec(text)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error('workerd ended before it listened');
}

function inTime<Value>(promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer for ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** @throws when it is none, with what was said instead. */
function speedIn(text: string): number {
  const speed = Number(text);
  if (!(speed > 0)) throw new Error(`no speed: ${text.slice(0, 500)}`);
  return speed;
}
