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
  const names = await bundleForWorkerd(installed);
  return serveModules(path, installed.folder, names, TARGET);
}

/**
 * workerd with the modules in a folder; the first one that is a script is the worker.
 * @param more of its configuration.
 */
export async function serveModules(
  path: string,
  folder: string,
  files: readonly string[],
  more = '',
): Promise<Workerd> {
  const names = files.toSorted((a, b) => Number(b.endsWith('.js')) - Number(a.endsWith('.js')));
  const modules = names.map(
    (name) =>
      `(name = "${name}", ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed "${name}")`,
  );
  writeFileSync(join(folder, 'config.capnp'), config(modules.join(', '), more));
  const child = spawn(path, ['serve', '--control-fd=3', 'config.capnp'], {
    cwd: folder,
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

/** What the entry worker.ts has besides. */
const TARGET = `
  durableObjectNamespaces = [(className = "Target", uniqueKey = "target")],
  durableObjectStorage = (inMemory = void),
  bindings = [(name = "TARGET", durableObjectNamespace = "Target")],`;

const config = (modules: string, more: string): string => `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["public", "private", "local"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules}],
  compatibilityDate = "2026-07-01",${more}
);
`;
