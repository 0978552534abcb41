import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { bundleForWorkerd, type Installed } from './installed.ts';

export interface Workerd {
  /** `127.0.0.1:PORT`. */
  host: string;
  stop(): void;
}

/** workerd with the entry worker.ts, which may reach this machine. */
export async function startWorkerd(path: string, installed: Installed): Promise<Workerd> {
  // The first one is the worker.
  const names = (await bundleForWorkerd(installed)).sort(
    (a, b) => Number(b.endsWith('.js')) - Number(a.endsWith('.js')),
  );
  const modules = names.map(
    (name) =>
      `(name = "${name}", ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed "${name}")`,
  );
  writeFileSync(join(installed.folder, 'config.capnp'), config(modules.join(', ')));
  const child = spawn(path, ['serve', '--control-fd=3', 'config.capnp'], {
    cwd: installed.folder,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
    const event = JSON.parse(line) as { event: string; port: number };
    if (event.event === 'listen')
      return { host: `127.0.0.1:${event.port}`, stop: () => void child.kill() };
  }
  throw new Error(`workerd has ended: ${errors}`);
}

const config = (modules: string): string => `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["public", "private", "local"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules}],
  compatibilityDate = "2026-07-01",
  durableObjectNamespaces = [(className = "Target", uniqueKey = "target")],
  durableObjectStorage = (inMemory = void),
  bindings = [(name = "TARGET", durableObjectNamespace = "Target")],
);
`;
